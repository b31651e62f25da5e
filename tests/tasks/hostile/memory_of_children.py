# As much memory as one process may have, in forty children.
import posix
import time

for _ in range(40):
    if posix.fork() == 0:
        taken = bytearray(64 << 20)
        time.sleep(60)
