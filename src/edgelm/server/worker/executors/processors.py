"""A machine's processors: steps have them beside each other, or one alone, so that its speed can be measured."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


def take(*, alone: bool) -> IO[str] | None:
    """The lock of this machine's processors, among all workers of this user; None while others stand against it.

    It is held until it is closed, or this process ends.
    """
    lock = (Path(tempfile.gettempdir()) / f"edgelm-device-{os.geteuid()}.lock").open("a")
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
