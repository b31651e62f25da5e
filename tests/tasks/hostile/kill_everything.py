# Harmless: kills its parent, the first process, every process, and one of the host's.
import posix

for process in (posix.getppid(), 1, -1, HOST["victim"]):
    try:
        posix.kill(process, 9)
    except OSError:
        pass
