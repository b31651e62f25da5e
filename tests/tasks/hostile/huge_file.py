# One file with a hole of a terabyte.
import posix

posix.ftruncate(posix.open("/tmp/huge", posix.O_CREAT | posix.O_RDWR), 1 << 40)
