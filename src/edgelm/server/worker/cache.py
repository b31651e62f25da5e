"""Files that a worker keeps by their digests: the least recently used go first, and never what a job holds.

A job holds a file by a link to it in its own folder; without one, a file may go at any time, and is fetched again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ARRIVING = 3600.0  # seconds after its last byte for which a file that is not whole is left alone
ROOM = 1 << 30  # bytes that are left free on the disk where the cache can give them


@dataclass(frozen=True)
class Cache:
    """A folder of files by digest, which several workers may share.

    Attributes:
        folder: that it is.
        most: bytes that it has, as long as jobs hold no more.
    """

    folder: Path
    most: int

    def path(self, digest: str) -> Path:
        """Where a file lies, or would."""
        return self.folder / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether a file is there; it was used just now then."""
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def trim(self, room: int = ROOM) -> None:
        """Remove what was not used for longest, until the rest is small enough and so many bytes of the disk are free.

        What cannot be removed is left.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        entries = list(self._entries())
        total = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            if total <= self.most and shutil.disk_usage(self.folder).free >= room:
                return
            if path.suffix and time.time() - used < _ARRIVING:
                continue
            with contextlib.suppress(OSError):
                if path.stat().st_nlink == 1:
                    path.unlink()
                    total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """When each file was last used, its size, and where it lies."""
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                yield found.st_mtime, found.st_blocks * 512, path
