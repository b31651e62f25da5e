"""What a way to make a box is told, and what it can do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import edgelm

NOBODY = 65534  # the user of a box that writes nowhere, where the worker is root
USERS = range(1_900_000_000, 2_000_000_000)  # of those that write; no system gives these numbers out
PROCESSES = 1000  # and threads, of the box's user
SCRATCH = 512 << 20  # bytes of each folder in memory
LARGEST = 900 << 20  # bytes of a file
MEMORY_FOLDERS = ("/tmp", "/dev/shm")
LIBRARIES = ("/lib", "/lib32", "/lib64", "/bin", "/sbin")  # links into /usr on most systems
OWN = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "EDGELM_OFFLINE": "1", "GOMP_SPINCOUNT": "1000"}
HOME = ("HOME", "XDG_CACHE_HOME", "EDGELM_CACHE")  # where a step outside of a box finds what was fetched before
PASSED = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")  # variables of the worker that a box gets, too


@dataclass(frozen=True)
class Places:
    """What is seen in a box beside the system's libraries, at the same places as outside.

    Attributes:
        readable: read-only; the runtime is among them.
        writes: the folder that may be written to, if any.
        devices: of an accelerator.
        facts: of the system, that its libraries read: files or folders below /sys.
        memory: bytes that all within may use, where the box itself can hold that; 0 for no limit.
    """

    readable: tuple[Path, ...] = ()
    writes: Path | None = None
    devices: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    memory: int = 0

    @property
    def user(self) -> int:
        """Who is within, where the worker is root: whose the written folder is, so that each box is another's.

        The system counts processes by user: what one box starts would keep another from its threads.
        """
        return (self.writes.stat().st_uid if self.writes else 0) or NOBODY


class Rung(Protocol):
    """A way to make a box."""

    @property
    def kind(self) -> str:
        """Its name."""
        ...

    def version(self) -> str:
        """The program that makes it, and its version.

        Raises:
            Unsupported: it is not there, or not for this user.
        """
        ...

    def words(self, command: tuple[str, ...], places: Places) -> tuple[str, ...]:
        """The command that runs another within; when it is killed, all that it started within is gone."""
        ...


def runtime() -> list[Path]:
    """The interpreter, what is installed for it, and this package: where commands within find them."""
    places = [Path(sys.base_prefix), Path(sys.prefix), Path(edgelm.__file__).parent]
    shown = [place for place in dict.fromkeys(places) if not place.is_relative_to("/usr")]
    return [place for place in shown if not any(place != other and place.is_relative_to(other) for other in shown)]
