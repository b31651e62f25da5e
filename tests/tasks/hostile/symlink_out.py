# Writes to the host's file through a link.
import posix

posix.symlink(HOST["secret_file"], "/tmp/link")
with open("/tmp/link", "w") as file:
    file.write("overwritten")
