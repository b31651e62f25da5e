# Waits for what the host may type.
import posix

assert posix.read(0, 1 << 20)
