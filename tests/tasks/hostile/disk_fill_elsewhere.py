# Looks for another place to fill.
import posix

for folder in ("/", "/dev", "/dev/shm", "/usr", "/run", "/var/tmp", "/lib"):
    try:
        posix.mkdir(f"{folder}/mine")
        break
    except OSError:
        pass
else:
    raise OSError("there is none")
