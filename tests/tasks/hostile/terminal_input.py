# Types a command into the terminal that it was started from.
import fcntl
import posix

TIOCSTI = 0x5412
for path in ("/dev/tty", "/dev/stdin", "/dev/null"):
    try:
        terminal = posix.open(path, posix.O_RDWR)
    except OSError:
        continue
    fcntl.ioctl(terminal, TIOCSTI, b"\n")
    break
else:
    raise OSError("there is none")
