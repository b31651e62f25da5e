"""Reading what a box has written, which may be anything: links, pipes and endless files are not followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgelm.errors import BadFile


def read(root: Path, name: str, most: int, offset: int = 0) -> bytes:
    """At most so many bytes of a plain file below a folder, from an offset on; nothing if there is no such file.

    Raises:
        BadFile: it, or a folder on the way to it, is a link or no plain file.
    """
    *folders, last = name.split("/")
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise BadFile(f"{name} is no plain file", why=error.strerror or str(error)) from None
    finally:
        os.close(at)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise BadFile(f"{name} is no plain file")
        return os.pread(file, most, offset)
    finally:
        os.close(file)


def tail(path: Path, most: int) -> str:
    """The end of a file that this program made, as text."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read(most).decode(errors="replace")


def size(folder: Path) -> int:
    """Bytes that all files below a folder take on the disk; links are not followed."""
    total = 0
    for _, _, names, descriptor in os.fwalk(folder):
        for name in names:
            try:
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
            except OSError:  # gone meanwhile
                continue
    return total
