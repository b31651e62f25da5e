# Harmless: leaves a process behind that has nothing to do with this one any more.
import posix
import time

if posix.fork() == 0:
    posix.setsid()
    if posix.fork() == 0:
        time.sleep(60)
    posix._exit(0)
