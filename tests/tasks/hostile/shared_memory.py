# Memory that is no process's own: a file in memory, which no limit on address space counts.
import posix

descriptor = posix.memfd_create("store")
for _ in range(64):
    assert posix.write(descriptor, bytes(1 << 20)) == 1 << 20
