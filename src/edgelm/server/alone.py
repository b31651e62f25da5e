"""One process serves a folder: rates, leases and the line of writers are its own."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from edgelm.errors import BadOption
from edgelm.files import disk_errors, make_parent

LOCK = "serving.lock"  # in the folder; backups leave it out


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if there is none, for this process; the system lets go however the process ends.

    Raises:
        BadOption: another process holds it, or nothing can be written there.
    """
    path = folder / LOCK
    make_parent(path)
    with disk_errors(path):
        lock = path.open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadOption(f"{folder} is served already", why="another edgelm serve runs on it, whatever its port",
                            mend="stop that one first, or give another folder") from None  # fmt: skip
        yield
