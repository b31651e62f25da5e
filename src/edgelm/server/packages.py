"""A package as a folder again: its files linked from the storage, where they lie once whatever has them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgelm.server.storage import Storage, room
from edgelm.submission import MANIFEST

PREFIX = "package-"  # of folders that `sweep` removes
_OLD = 24 * 60 * 60  # seconds after which a folder is what a killed process left


@contextmanager
def assembled(storage: Storage, manifest: str, files: Mapping[str, str]) -> Iterator[Path]:
    """The folder of a package while the block runs. Its files cannot be written to, being those of the storage.

    Args:
        storage: that holds them all.
        manifest: digest of the package's manifest.
        files: the digests of its other files by their paths, which are safe.

    Raises:
        DiskFull: there is no room for the names of its files.
    """
    with contextlib.ExitStack() as held:
        with room():
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=storage.folder)))
            sources = dict[str, Path]()
            for path, sha256 in {MANIFEST: manifest, **files}.items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                sources[sha256] = _linked(sources.get(sha256, storage.path(sha256)), target)
        yield folder


def _linked(source: Path, target: Path) -> Path:
    """Have a file at the target, too; where to link it from the next time, since a file can have only so many names."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        shutil.copyfile(source, target)
        target.chmod(0o444)
        return target
    return source


def sweep(storage: Storage) -> None:
    """Remove what killed processes left."""
    for left in storage.folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # a package that was looked at just now
            if time.time() - left.stat().st_mtime > _OLD:
                shutil.rmtree(left, ignore_errors=True)
