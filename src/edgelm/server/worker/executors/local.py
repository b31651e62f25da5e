"""Steps as processes of this machine, each with its descendants held to the limits and killed as a tree.

Memory is the proportional set size, which counts shared pages once; limits on address space would break accelerators.
Where the worker has control groups, the kernel holds memory and processes, too, and is quicker than looking.
Outside a box, a process that makes a session of its own after its parent has ended is not found any more; in a box,
whose first process takes all others with it, there is no such way out. A step waits for the machine's processors while
another has them alone, or, to have them alone, while others have them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from edgelm.errors import EdgelmError
from edgelm.server.worker.executors.base import LOG, OUT, Ended, Step
from edgelm.server.worker.executors.groups import Group, Groups
from edgelm.server.worker.executors.processors import take
from edgelm.server.worker.plain import size, tail

HELD = "version 2: memory and processes of each step are held by the kernel"
WATCHED = "none: memory is held by the executor's watchdog, processes by a limit of their user"
_PATIENCE = 10.0  # seconds for what was killed to be gone
_LOOK = 0.5  # seconds between two looks at what a step uses
_BUSY = 24 * 3600.0  # seconds to wait for the machine's processors


@dataclass
class _Running:
    step: Step
    since: float  # when it began to wait, and then to run
    process: subprocess.Popen[bytes] | None = None
    group: Group | None = None
    processors: IO[str] | None = None  # the lock
    looked: float = 0.0
    ended: Ended | None = None


@dataclass
class Local:
    """The machine that the worker runs on.

    Attributes:
        groups: that steps are put into; None where there are none.
    """

    groups: Groups | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._numbers = count(1)

    def capabilities(self) -> dict[str, Any]:
        """The processors and memory that there are."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return {"executor": "local", "processors": os.cpu_count(), "memory": memory,
                "cgroup": HELD if self.groups else WATCHED}  # fmt: skip

    def start(self, step: Step) -> str:
        """Start a step, once the processors are free, as a session of its own, which ends with this thread."""
        handle = str(next(self._numbers))
        self._running[handle] = _Running(step, time.monotonic())
        for name in (OUT, LOG):
            (step.folder / name).write_bytes(b"")
        self.poll(handle)
        return handle

    def poll(self, handle: str) -> Ended | None:
        """How a step ended, by itself or beyond a limit; its tree is gone then."""
        running = self._running[handle]
        if running.ended is None and running.process is None:
            _begin(running, self.groups)
        elif running.ended is None and running.process is not None:
            code = running.process.poll()
            held = running.group.beyond() if running.group else None
            if held:  # which is why it was killed, if it was
                _end(running, Ended(held))
            elif code is not None:
                _end(running, Ended("exit", code))
            elif beyond := _beyond(running):
                _end(running, beyond)
        return running.ended

    def cancel(self, handle: str) -> None:
        """Kill a step and all that it started."""
        running = self._running[handle]
        if running.ended is None:
            _end(running, Ended("cancelled"))

    def logs(self, handle: str, most: int = 64 << 10) -> str:
        """The end of what it said."""
        return tail(self._running[handle].step.folder / LOG, most)


def _begin(running: _Running, groups: Groups | None) -> None:
    """Start a step's process, if the processors can be had now.

    Raises:
        EdgelmError: they were not to be had for a day.
        OSError: no group can be made for it, or no process.
    """
    step = running.step
    if step.use != "hardly":
        running.processors = take(alone=step.use == "alone")
        if running.processors is None:
            if time.monotonic() - running.since > _BUSY:
                raise EdgelmError(f"the processors of this machine are never free for {step.name}")
            return
    try:
        running.group = groups.group(step.limits) if groups else None
        words = running.group.words(step.words) if running.group else step.words
        words = ("setpriv", "--pdeathsig", "KILL", *words)  # a worker that is killed leaves nothing that runs
        with (step.folder / OUT).open("wb") as out, (step.folder / LOG).open("wb") as log:
            running.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd="/", env=dict(step.env),
                start_new_session=True,
            )  # fmt: skip
    except BaseException:  # nobody asks for it again, and others wait for the processors
        _end(running, Ended("cancelled"))
        raise
    running.since = time.monotonic()


def _beyond(running: _Running) -> Ended | None:
    """The limit that a step is beyond, if any."""
    assert running.process is not None
    now, limits = time.monotonic(), running.step.limits
    if now - running.since > limits.seconds:
        return Ended("time")
    if now - running.looked < _LOOK:
        return None
    running.looked = now
    tree = _tree(running.process.pid)
    if len(tree) > limits.processes:
        return Ended("processes")
    if sum(map(_memory, tree)) > limits.memory:
        return Ended("memory")
    written = sum((running.step.folder / name).stat().st_size for name in (OUT, LOG))
    written += size(running.step.writes) if running.step.writes else 0
    return Ended("disk") if written > limits.disk else None


def _end(running: _Running, how: Ended) -> None:
    """Kill what is left of a step's tree, and see that it is gone.

    Raises:
        EdgelmError: something of it does not die: nothing can be measured on this machine any more.
    """
    if running.process is not None:
        _kill(running.process, running.step.name)
    if running.group is not None and not running.group.kill():
        raise EdgelmError(f"the control group of {running.step.name} outlives its end")
    if running.processors is not None:
        running.processors.close()
    running.ended = how


def _kill(process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    known = _tree(process.pid)
    while left := (known := known & _alive() | _tree(process.pid)):
        if time.monotonic() > deadline:
            raise EdgelmError(f"processes {sorted(left)} of {name} outlive SIGKILL")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    process.wait()


def _tree(root: int) -> set[int]:
    """All processes below one, itself and those of its session included, that have not ended."""
    alive = {pid: (parent, session) for pid, parent, session in _processes()}
    found = {pid for pid, (_, session) in alive.items() if root in (pid, session)}
    while more := {pid for pid, (parent, _) in alive.items() if parent in found} - found:
        found |= more
    return found


def _alive() -> set[int]:
    return {pid for pid, _, _ in _processes()}


def _processes() -> list[tuple[int, int, int]]:
    """Number, parent and session of every process that has not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # gone meanwhile
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if state not in "ZX":
                    found.append((int(entry.name), int(parent), int(session)))
    return found


def _memory(pid: int) -> int:
    """The proportional set size of a process; its resident set size where the former may not be seen."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
