"""Reading what a box has written, which may be anything: links, pipes and endless files are not followed."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

from edgelm.errors import BadFile

_ENTRY = 4096  # bytes that a file counts for at least: a disk has so many entries, too


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
    """Bytes that all below a folder takes on the disk; without end where it cannot be looked at or is too deep."""
    total, left = 0, [str(folder)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                        total += max(_ENTRY, entry.stat(follow_symlinks=False).st_blocks * 512)
                        if entry.is_dir(follow_symlinks=False):
                            left.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return sys.maxsize
    return total


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, however deep; what cannot be removed is left."""
    subprocess.run(("rm", "--recursive", "--force", "--", str(folder)), capture_output=True, check=False)
