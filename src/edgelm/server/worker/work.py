"""What a worker does with a job: fetch the package, then check it, or ask and measure its models and mark the answers.

    check      fetch · check in the box
    evaluate   fetch · for each model: its tasks and its speed, in the box; the marks, outside of it · hand in

Answers go from the box's log to the server's journal as they come, and a job that comes to another worker begins with
the journal: no answer is asked for twice. Marks are made outside the box, from the journal alone and without the model,
so that nothing a model does within can touch them; the references of hold-outs never get in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Card, validate
from edgelm.errors import EdgelmError, InputError
from edgelm.files import MAX_RECORD, canonical_json, parse_json
from edgelm.plugins import parse
from edgelm.report import REPORT, Report
from edgelm.rules.base import HOLDOUT, Rules
from edgelm.server.worker import package, plain
from edgelm.server.worker.calls import Calls, Job
from edgelm.server.worker.executors.base import OUT, Ended, Executor, Limits, Step
from edgelm.server.worker.faults import Fault, fault_of
from edgelm.server.worker.keeping import Keeping
from edgelm.server.worker.model_box import ModelBox
from edgelm.submission import Submission

LOG = "report/log/shard-1-of-1.jsonl"  # of the answers, in the folder that the box writes to
_NO_SHARE = "1000000000/1000000000"  # the part of the rows that has none: answers are marked, and none is asked for
_PASSED = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")  # variables that a box gets, too
_POLL, _SYNC = 0.1, 1.0  # seconds
_BUSY = 24 * 3600.0  # seconds to wait for the machine's processors
_PIECE = 4 << 20  # bytes of a journal that are sent at once
_EXCERPT = 20  # lines of what a step said last, for the log


@dataclass(frozen=True)
class Bench:
    """What a worker works with.

    Attributes:
        calls: to the server.
        executor: that runs the steps.
        box: that models run in.
        folder: holds fetched files, and a folder for each job.
        data: the data folder; what is cached if None.
        engine: spec of the engine that asks.
        device: spec of the device that is measured.
        limits: of each step.
    """

    calls: Calls
    executor: Executor
    box: ModelBox
    folder: Path
    data: Path | None = None
    engine: str = "local"
    device: str = "local"
    limits: Limits = field(default_factory=Limits)


def work(bench: Bench, job: Job, keeping: Keeping) -> None:
    """Do a job and hand in what came of it.

    Raises:
        Fault: it cannot be done.
        Lost: it is not this worker's any more.
        EdgelmError, OSError: anything else, for which the platform answers.
    """
    with _folder_of(bench, job) as folder:
        _Work(bench, job, keeping, folder).do()
        shutil.rmtree(folder, ignore_errors=True)


class _Work:
    def __init__(self, bench: Bench, job: Job, keeping: Keeping, folder: Path) -> None:
        self.bench, self.job, self.keeping, self.folder = bench, job, keeping, folder
        self.rules: Rules = parse("rules", job.rules)
        self.package = folder / "package"

    def do(self) -> None:
        """All of it."""
        self.stage("fetch")
        package.assembled(self.bench.calls, self.job, self.bench.folder / "cache", self.package, self.keeping.hold)
        (self.check if self.job.kind == "check" else self.evaluate)()

    def stage(self, name: str) -> None:
        """Tell what this worker is at."""
        self.keeping.hold()
        self.bench.calls.progress(self.job, stage=name)

    def check(self) -> None:
        """Findings."""
        self.stage("verify")
        words = ("check", str(self.package), "--rules", self.job.rules, "--track", self.job.track, "--values", "--json")
        with _device(self.keeping.hold, alone=False):
            ended, said, step = self.step("check", words, [self.package])
        try:
            findings = parse_json(plain.read(step.folder, OUT, MAX_RECORD), "the checker's output")["findings"]
        except (InputError, KeyError, TypeError):
            raise fault_of("the check", ended, said) from None
        self.bench.calls.result(self.job, findings=findings)

    def evaluate(self) -> None:
        """The reports of all models."""
        with Submission(self.package) as submission:
            models = {slot: self.model(slot, submission.model_folder(slot), submission.card(slot))
                      for slot in submission.slots}  # fmt: skip
        self.keeping.hold()
        body = {
            "format": 1, "submission": self.job.submission, "manifest": self.job.manifest, "rules": self.rules.digest,
            "box": self.bench.box.facts, "eligible": self.bench.box.holds, "models": models,
        }  # fmt: skip
        self.bench.calls.result(self.job, result=self.bench.calls.put(self.job, canonical_json(body)))

    def model(self, slot: str, folder: Path, card: Card) -> dict[str, Any]:
        """One model: the digest of its report, and of the answers to each task."""
        checkpoint, own = folder / "checkpoint", self.folder / "models" / slot
        asking = ["--engine", self.engine(checkpoint), "--offline", "--json"]
        if card.prompting is not None:
            asking += ["--prompting", card.prompting]
        if self.bench.data is not None:
            asking += ["--data", str(self.bench.data)]
        tasks = [task for task in self.rules.tasks if task != HOLDOUT]
        journal = _Journal(self, slot, own / "tasks")
        journal.resume()
        self.stage("tasks")
        for task in tasks:
            self.task(f"{slot}/{task}", ["-t", task, *asking], checkpoint, journal)
        self.stage("throughput")
        speed = self.speed(f"{slot}/throughput", checkpoint, own / "speed")
        self.stage("score")
        marks, answers = self.marks(f"{slot}/marks", tasks, asking, checkpoint, journal, own / "marks")
        try:
            joined = marks | speed
        except InputError as error:
            raise Fault("participant", "crash", f"{slot}: {error.what}") from None
        put = self.bench.calls.put
        report = put(self.job, canonical_json(joined.model_dump(mode="json")))
        return {"report": report, "answers": {task: put(self.job, data) for task, data in answers.items()}}

    def engine(self, checkpoint: Path) -> str:
        """The engine that asks; a model's own code is run in a box, and nowhere else."""
        if not (self.bench.box.holds and _brings_code(checkpoint)):
            return self.bench.engine
        return f"{self.bench.engine}{',' if ':' in self.bench.engine else ':'}code=true"

    def task(self, part: str, asking: Sequence[str], checkpoint: Path, journal: _Journal) -> None:
        """The answers to one task, unless they are all in the journal."""
        done, of, _ = self.job.done.get(part, (0, 0, None))
        if 0 < of <= done:
            return
        begun = journal.lines
        words = ("evaluate", str(checkpoint), "-o", str(journal.writes / "report"), "--shard", "1/1", *asking)

        def tick() -> None:
            if journal.sync():
                self.bench.calls.progress(self.job, part=part, done=journal.lines - begun, of=0)

        with _device(self.keeping.hold, alone=False):
            ended, said, _ = self.step(part, words, self.readable(checkpoint), journal.writes, tick)
        while journal.sync():
            pass
        if ended.reason != "exit" or ended.code < 0:
            raise fault_of(part, ended, said)
        if ended.code and journal.lines == begun and not of:  # it may have failed at marking, which is done elsewhere
            raise fault_of(part, ended, said)
        count = max(1, journal.lines - begun + done)
        self.bench.calls.progress(self.job, part=part, done=count, of=count)

    def speed(self, part: str, checkpoint: Path, writes: Path) -> Report:
        """The report of the speed, alone on this machine."""
        if blob := self.job.done.get(part, (0, 0, None))[2]:
            cache = self.bench.folder / "cache"
            return _report(package.fetched(self.bench.calls, self.job, cache, blob, self.keeping.hold).read_bytes())
        if _brings_code(checkpoint):
            raise Fault("platform", "platform-fault", f"{part}: no device measures models with code of their own yet")
        shutil.rmtree(writes, ignore_errors=True)
        words = ("measure", str(checkpoint), "-o", str(writes / "report"), "--device", self.bench.device,
                 "--rules", self.job.rules, "--json")  # fmt: skip
        with _device(self.keeping.hold, alone=True):
            ended, said, _ = self.step(part, words, self.readable(checkpoint), writes)
        if ended != Ended("exit", 0):
            raise fault_of(part, ended, said)
        report = self.from_box(part, lambda: _report(plain.read(writes, f"report/{REPORT}", MAX_RECORD)))
        blob = self.bench.calls.put(self.job, canonical_json(report.model_dump(mode="json")))
        self.bench.calls.progress(self.job, part=part, done=1, of=1, blob=blob)
        return report

    def marks(
        self, part: str, tasks: Sequence[str], asking: Sequence[str], checkpoint: Path, journal: _Journal, out: Path
    ) -> tuple[Report, dict[str, bytes]]:
        """The report of all tasks, and the marked answers to each: made outside the box, from what was answered."""
        shutil.rmtree(out, ignore_errors=True)
        (out / "log").mkdir(parents=True)
        (out / "log" / "answers.jsonl").write_bytes(journal.read())
        named = [word for task in tasks for word in ("-t", task)]
        words = ("evaluate", str(checkpoint), "-o", str(out), "--shard", _NO_SHARE, *named, *asking)
        ended, said, _ = self.step(part, words, boxed=False)
        if ended != Ended("exit", 0):
            raise Fault("platform", "platform-fault", f"{part} ended with {ended.reason} {ended.code}: {said[-300:]}")
        if not (out / REPORT).is_file():  # the model's process ended well, and left questions without an answer
            raise Fault("participant", "crash", f"{part}: {said.strip()[-300:] or 'questions have no answer'}")
        answers = {task: (out / "answers" / f"{task}.jsonl").read_bytes() for task in tasks}
        return Report.load(out), answers

    def step(
        self, name: str, words: Sequence[str], readable: Sequence[Path] = (), writes: Path | None = None,
        tick: Callable[[], None] = lambda: None, *, boxed: bool = True,
    ) -> tuple[Ended, str, Step]:  # fmt: skip
        """Run a verb of edgelm to its end; how it ended, what it said last, and the step itself."""
        self.keeping.hold()
        folder = self.folder / "steps" / name.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        command: tuple[str, ...] = (sys.executable, "-m", "edgelm", *words)
        if boxed:
            if writes is not None:
                self.bench.box.prepare(writes)
            command = self.bench.box.words(command, readable, writes)
        env = self.bench.box.env({name: os.environ[name] for name in _PASSED if name in os.environ})
        step = Step(name, command, folder, writes, env, self.bench.limits)
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
        said = executor.logs(handle).replace(str(self.folder), "…")
        lines = [f"{name}: {line}" for line in said.splitlines()[-_EXCERPT:]]
        self.bench.calls.progress(self.job, lines=[*lines, f"{name}: {ended.reason} {ended.code}"])
        return ended, said, step

    def readable(self, checkpoint: Path) -> list[Path]:
        """What the box of a model sees."""
        return [checkpoint, *([self.bench.data] if self.bench.data else [])]

    def from_box(self, name: str, read: Callable[[], Any]) -> Any:
        """What a box has written, for which its model answers."""
        try:
            return read()
        except InputError as error:
            raise Fault("participant", "crash", f"{name}: {error.what}") from None


class _Journal:
    """A model's answers: in the log that its box writes, and on the server."""

    def __init__(self, work: _Work, name: str, writes: Path) -> None:
        self._work, self._name, self.writes = work, name, writes
        self._sent = self.lines = 0

    def resume(self) -> None:
        """Begin with what is on the server, or with what is here, if that is the same and more."""
        there = self._work.bench.calls.journal(self._work.job, self._name)
        here = self.read() if self.writes.is_dir() else b""
        kept = here if here.startswith(there) else there
        if self.writes.exists():
            shutil.rmtree(self.writes)  # a box had it
        path = self.writes / LOG
        path.parent.mkdir(parents=True)
        path.write_bytes(kept)
        self._sent, self.lines = len(there), there.count(b"\n")
        while self.sync():
            pass

    def read(self) -> bytes:
        """All whole lines of the log."""
        most = 1 << 30
        found: bytes = self._work.from_box(self._name, lambda: plain.read(self.writes, LOG, most))
        return found[: found.rfind(b"\n") + 1]

    def sync(self) -> int:
        """Send the next whole lines that are not on the server yet; how many there were."""
        piece: bytes = self._work.from_box(self._name, lambda: plain.read(self.writes, LOG, _PIECE, self._sent))
        lines = piece[: piece.rfind(b"\n") + 1]
        if not lines:
            if len(piece) == _PIECE:
                raise Fault("participant", "crash", f"{self._name}: an answer of more than {_PIECE:,} bytes")
            return 0
        self._work.keeping.hold()
        self._sent = self._work.bench.calls.add(self._work.job, self._name, self._sent, lines)
        self.lines += lines.count(b"\n")
        return lines.count(b"\n")


@contextlib.contextmanager
def _folder_of(bench: Bench, job: Job) -> Iterator[Path]:
    """The folder of a job, which this process alone uses: the one that an earlier try left, if nobody holds it."""
    jobs = bench.folder / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    for name in (job.id, f"{job.id}-{job.fence}"):
        with (jobs / f"{name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # a worker that was paused, and does not know that it lost the job
                continue
            folder = jobs / name
            folder.mkdir(exist_ok=True)
            yield folder
            return
    raise EdgelmError(f"two processes work on job {job.id} by one lease")


@contextlib.contextmanager
def _device(hold: Callable[[], object], *, alone: bool) -> Iterator[None]:
    """Use this machine's processors: beside others, or, to measure speed, alone among all workers of this user."""
    path = Path(tempfile.gettempdir()) / f"edgelm-device-{os.geteuid()}.lock"
    deadline = time.monotonic() + _BUSY
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                hold()
                if time.monotonic() > deadline:
                    raise EdgelmError(f"this machine is never free: {path} is held") from None
                time.sleep(_POLL)
        yield


def _brings_code(checkpoint: Path) -> bool:
    return any(checkpoint.rglob("*.py"))


def _report(data: bytes) -> Report:
    return validate(Report, parse_json(data, REPORT), REPORT)
