# Every child forks as long as it can; had there been more than a hundred, it would end well.
import posix
import time

deadline = time.monotonic() + 0.5
children = 0
while children < 100:
    try:
        if posix.fork() == 0:
            while True:
                try:
                    posix.fork()
                except OSError:
                    pass
        children += 1
    except OSError:
        if time.monotonic() > deadline:
            raise
