"""Control groups of version 2: the kernel holds a step's memory and processes, and kills all of it at once.

They need a part of the tree that was given to the worker, as its systemd unit does (`Delegate=memory pids`). Without
one, `local` watches what a step uses by looking.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from edgelm.errors import Unsupported
from edgelm.server.worker.executors.base import Limits, Reason

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CONTROLLERS = ("memory", "pids")
_WORKER = "worker"  # where the worker itself goes: a group that hands out controllers holds no process
_TASKS = 16  # threads of a process; the kernel counts threads
_ENTER = 'echo $$ > "$0" && exec "$@" || kill -KILL $$'  # what cannot be held does not begin, as the platform's fault
_PATIENCE = 10.0  # seconds for what was killed to be gone
_numbers = count(1)


@dataclass(frozen=True)
class Group:
    """A step's group."""

    path: Path

    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """A command that enters the group and becomes another."""
        return ("sh", "-c", _ENTER, str(self.path / "cgroup.procs"), *words)

    def beyond(self) -> Reason | None:
        """The limit that the kernel had to hold it to, if any."""
        if _events(self.path / "memory.events").get("oom"):
            return "memory"
        return "processes" if _events(self.path / "pids.events").get("max") else None

    def kill(self) -> bool:
        """Kill all within, and remove the group; whether nothing is left."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                (self.path / "cgroup.kill").write_text("1")
            with contextlib.suppress(OSError):
                self.path.rmdir()
            if not self.path.exists():
                return True
            time.sleep(0.02)
        return False


@dataclass(frozen=True)
class Groups:
    """A part of the tree that is the worker's."""

    path: Path

    def group(self, limits: Limits) -> Group:
        """A new group with limits; it holds nothing yet.

        Raises:
            OSError: it cannot be made.
        """
        path = self.path / f"step-{os.getpid()}-{next(_numbers)}"
        path.mkdir()
        (path / "memory.max").write_text(str(limits.memory))
        (path / "memory.oom.group").write_text("1")
        with contextlib.suppress(OSError):  # a kernel that swaps nothing has none
            (path / "memory.swap.max").write_text("0")
        (path / "pids.max").write_text(str(limits.processes * _TASKS))
        return Group(path)


def delegated(root: Path = ROOT, own: Path = OWN) -> Groups:
    """The part of the tree that this process was given, from which it moves into a group of its own.

    What killed workers left there is removed.

    Args:
        root: where the tree is mounted.
        own: the file that says where this process is.

    Raises:
        Unsupported: it was given none.
    """
    told = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    place = next((line[3:] for line in told if line.startswith("0::/")), None)
    if place is None or not (root / "cgroup.controllers").is_file():
        raise Unsupported("there are no control groups of version 2 here")
    path = root / place.strip("/")
    if path.name == _WORKER:  # another look of this process, or a child's
        path = path.parent
    lacking = set(_CONTROLLERS) - set((path / "cgroup.controllers").read_text().split())
    if path == root or lacking:
        raise Unsupported("no control group was delegated", mend="systemd does so: Delegate=memory pids")
    try:
        (path / _WORKER).mkdir(exist_ok=True)
        (path / _WORKER / "cgroup.procs").write_text(str(os.getpid()))
        (path / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
    except OSError as error:
        raise Unsupported("no control group was delegated", why=error.strerror or str(error),
                          mend="systemd does so: Delegate=memory pids") from None  # fmt: skip
    for left in _left(path):
        left.kill()
    return Groups(path)


def _left(path: Path) -> Iterator[Group]:
    """The groups of workers that are gone."""
    for group in path.glob("step-*-*"):
        if not Path(f"/proc/{group.name.split('-')[1]}").exists():
            yield Group(group)


def _events(path: Path) -> dict[str, int]:
    """The numbers in a file of names with numbers; none where it is gone."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: int(number) for name, number in (line.split() for line in lines)}
