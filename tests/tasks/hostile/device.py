# Makes a device that is the disk.
import posix
import stat

posix.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, posix.makedev(254, 0))
