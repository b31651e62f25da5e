"""A file that is not whole yet: it stands beside its target, survives a kill, and one process at a time fills it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from edgelm.files import make_parent, sha256_file


class Partial:
    """The bytes that have come so far, in `.NAME.part` beside the target."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return os.fstat(self._file.fileno()).st_size

    def write(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        rest = memoryview(chunk)
        while rest:  # a disk that fills up takes a part without complaint, and refuses the rest
            rest = rest[self._file.write(rest) :]

    def clear(self) -> None:
        """Begin anew."""
        self._file.truncate(0)

    def sha256(self) -> str:
        """The digest of what is here."""
        return sha256_file(self.path)

    def take_name(self, target: Path) -> None:
        """Become the target, for good."""
        os.fsync(self._file.fileno())
        self.path.replace(target)


@contextlib.contextmanager
def partial(target: Path) -> Iterator[Partial]:
    """What there is of a target already; waits while another process fills it. Nothing is left where nothing came."""
    make_parent(target)
    path = target.with_name(f".{target.name}.part")
    with _locked(path) as file:
        part = Partial(path, file)
        try:
            yield part
        finally:
            if not part.size and _is_at(file, path):
                path.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    """The file of that name, opened to be added to. The lock is let go by the system however the process ends."""
    while True:
        with path.open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):  # a network file system without locks: nobody can be waited for
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):  # else another process has given it its final name meanwhile
                yield file
                return


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether that name still belongs to the open file."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
