"""One process at a time: the others wait for what it makes."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from edgelm.files import disk_errors, make_parent


@contextlib.contextmanager
def alone(target: Path, waiting: Callable[[], object]) -> Iterator[int]:
    """Hold the lock on making `target`; `waiting` is called once if another process holds it.

    Yields the lock's file descriptor. A child that inherits it keeps the lock when this process is killed, so that
    nobody works beside it. The system lets the lock go when all of them have ended.
    """
    make_parent(target)
    with disk_errors(target), target.with_name(f".{target.name}.lock").open("wb") as file:
        with contextlib.suppress(OSError):  # a network file system without locks: nobody can be waited for
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
