"""The machine that a worker is on: its disk, and the folders of jobs, each used by one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from edgelm.errors import EdgelmError

_ROOM = 64 << 20  # bytes below which a disk is full
_KEPT = 3600.0  # seconds in which a job may be leased again, and go on with what it answered last


def is_full(folder: Path) -> bool:
    """Whether the disk below a folder has no room left."""
    return shutil.disk_usage(folder).free < _ROOM


@contextlib.contextmanager
def folder_of(jobs: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """A job's folder, which this process alone uses: the first of these names that nobody holds.

    Raises:
        EdgelmError: others hold all of them.
    """
    jobs.mkdir(parents=True, exist_ok=True)
    for name in names:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_locked(jobs / f"{name}.lock"))
            except BlockingIOError:  # a worker that was paused, and does not know that it lost the job
                continue
            folder = jobs / name
            folder.mkdir(exist_ok=True)
            yield folder
            return
    raise EdgelmError(f"two processes work on job {names[0]} by one lease")


def left_behind(jobs: Path) -> Iterator[Path]:
    """The folders of jobs whose workers are gone for so long that none goes on, each held while it is looked at."""
    for lock in jobs.glob("*.lock"):
        with contextlib.suppress(BlockingIOError), _locked(lock):
            folder = lock.with_suffix("")
            if folder.is_dir() and time.time() - _written(folder) > _KEPT:
                yield folder


def _written(folder: Path) -> float:
    """When something in a folder was written last, in seconds since 1970, as deep as paths reach: a model dug it."""
    last, left = folder.lstat().st_mtime, [str(folder)]
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                last = max(last, entry.stat(follow_symlinks=False).st_mtime)
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
    return last


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
