"""A job's steps: programs of edgelm that run to their ends, in a box or outside of it, while the lease holds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edgelm.errors import InputError
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.boxes.base import HOME, PASSED
from edgelm.server.worker.calls import Job
from edgelm.server.worker.executors.base import Ended, Limits, Step, Use
from edgelm.server.worker.faults import MEND, Fault, fault_of, ours
from edgelm.server.worker.keeping import Keeping
from edgelm.server.worker.machine import is_full

_POLL, _SYNC = 0.1, 1.0  # seconds
_EXCERPT = 20  # lines of what a step said last, for the log
_TRIAL = Limits(seconds=60)
T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """A step that has ended, how, and what it said last; nothing of what was said is known of a hidden one."""

    step: Step
    ended: Ended
    said: str

    @property
    def good(self) -> bool:
        """Whether it did what it should."""
        return self.ended == Ended("exit", 0)


@dataclass(frozen=True)
class Steps:
    """What runs the steps of one job.

    Attributes:
        bench: what the worker works with.
        job: that is leased.
        keeping: its lease.
        folder: of the job.
    """

    bench: Bench
    job: Job
    keeping: Keeping
    folder: Path

    def stage(self, name: str) -> None:
        """Tell what this worker is at."""
        self.keeping.hold()
        self.bench.calls.progress(self.job, stage=name)

    def boxed(
        self, name: str, words: Sequence[str], readable: Sequence[Path], writes: Path | None = None,
        tick: Callable[[], object] = lambda: None, *, use: Use = "beside", hidden: bool = False,
    ) -> Done:  # fmt: skip
        """Run a module of edgelm in the box.

        Args:
            name: of the step.
            words: the module and its arguments.
            readable: what the box shows.
            writes: the folder that it may write to.
            tick: called every second.
            use: of the machine's processors.
            hidden: what it says is neither read nor sent.
        """
        box = self.bench.box
        if writes is not None:
            box.prepare(writes)
        command = box.words((sys.executable, "-m", *words), readable, writes)
        trial = box.words(("true",)) if box.holds else ()
        return self._run(replace(self._step(name, command, writes, use), trial=trial), tick, hidden=hidden)

    def outside(self, name: str, words: Sequence[str], *, hidden: bool = False) -> Done:
        """Run a module of edgelm with the worker's own rights; nothing of it is a model's."""
        step = self._step(name, (sys.executable, "-m", *words))
        env = {**step.env, **{name: os.environ[name] for name in HOME if name in os.environ}}
        return self._run(replace(step, env=env, limits=Limits()), hidden=hidden, own=True)  # not a model's

    def fault(self, done: Done) -> Fault:
        """Who answers for a step in a box that did not end well."""
        return fault_of(done.step.name, done.ended, done.said, well=done.ended.well and self._well())

    def ours(self, done: Done) -> Fault:
        """The fault of a step outside of the box."""
        return ours(done.step.name, done.ended, done.said)

    def from_box(self, name: str, read: Callable[[], T]) -> T:
        """What a box has written, for which its model answers."""
        try:
            return read()
        except InputError as error:
            raise Fault("participant", "crash", f"{name}: {error.what}") from None

    def _step(self, name: str, command: tuple[str, ...], writes: Path | None = None, use: Use = "hardly") -> Step:
        folder = self.folder / "steps" / name.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        env = self.bench.box.env({name: os.environ[name] for name in PASSED if name in os.environ})
        return Step(name, command, folder, writes, env, self.bench.limits, use)

    def _run(self, step: Step, tick: Callable[[], object] = lambda: None, *, hidden: bool, own: bool = False) -> Done:
        self.keeping.hold()
        executor = self.bench.executor
        handle, synced = executor.start(step), time.monotonic()
        try:
            while (ended := executor.poll(handle)) is None:
                self.keeping.hold()
                if time.monotonic() - synced >= _SYNC:
                    tick()
                    synced = time.monotonic()
                time.sleep(_POLL)
        except BaseException:
            executor.cancel(handle)
            raise
        if hidden:
            return Done(step, ended, "")
        said = executor.logs(handle).replace(str(self.folder), "…")
        lines = [f"{step.name}: {line}" for line in said.splitlines()[-_EXCERPT:]
                 if not (own and line.startswith(MEND))]  # which is for this machine's keeper, no team  # fmt: skip
        self.bench.calls.progress(self.job, lines=[*lines, f"{step.name}: {ended.reason} {ended.code}"])
        return Done(step, ended, said)

    def _well(self) -> bool:
        """Whether the disk has room, and a box starts, which is tried."""
        if is_full(self.folder):
            return False
        if not self.bench.box.holds:
            return True
        trial = self._step("trial", self.bench.box.words(("true",)))
        return self._run(replace(trial, limits=_TRIAL), hidden=True).good
