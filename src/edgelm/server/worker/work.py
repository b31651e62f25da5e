"""What a worker does with a job: fetch the package, then check it, or ask and measure its models and mark the answers.

    check      fetch, from where its links lead, too · check in the box
    smoke      fetch · ask its models a few tiny questions in the box
    evaluate   fetch · of several models, ask each a few of its questions, which finds one that does not run before
               hours are spent on another · for each: render its questions, ask them and measure it in the box, mark ·
               hand in

What is expected never gets into a box: outside, questions are rendered as bare requests, and the answers are marked
from the server's journal. A job that comes to another worker begins with the journal: nothing is asked twice. Hold-outs
are asked after the public tasks, in a box of their own, whose model can tell nobody what it saw: what it says is not
read, and what it answers is shown to nobody.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from edgelm.checkpoint import Card
from edgelm.errors import EdgelmError, InputError, NoSpace
from edgelm.files import MAX_RECORD, canonical_json, parse_json
from edgelm.plugins import parse
from edgelm.report import Report
from edgelm.rules.base import HOLDOUT, Rules
from edgelm.server.clock import utc_now
from edgelm.server.worker import asking, machine, marking, measuring, package, plain, smoke
from edgelm.server.worker.agreement import agreement
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Job, Lost
from edgelm.server.worker.executors.base import OUT
from edgelm.server.worker.faults import Fault, platform
from edgelm.server.worker.journal import Journal
from edgelm.server.worker.keeping import Keeping
from edgelm.server.worker.linked import NoFile
from edgelm.server.worker.manifest import manifest
from edgelm.server.worker.rendering import Asked, Rendered, rendered
from edgelm.server.worker.steps import Steps
from edgelm.submission import Submission

_FIRST = 4  # questions, by which it is seen whether a model runs at all
_FULL = "the worker's disk is full"
_UNMEASURED = {
    "code": "RUN-01", "severity": "E", "path": "", "what": measuring.NOT_MEASURED,
    "why": "throughput is ranked, and without it nothing else would count",
    "mend": "hand in a model that transformers knows by itself",
}  # fmt: skip


def work(bench: Bench, job: Job, keeping: Keeping) -> None:
    """Do a job and hand in what came of it. Nothing of it is left on this machine.

    Raises:
        Fault: it cannot be done.
        Lost: it is not this worker's any more.
    """
    jobs = bench.folder / "jobs"
    with ExitStack() as held:
        folder = held.enter_context(machine.folder_of(jobs, (job.id, f"{job.id}-{job.fence}")))
        held.callback(bench.cache.trim)  # of what this job held, too
        held.callback(plain.remove, folder)
        for left in machine.left_behind(jobs):
            plain.remove(left)
        try:
            _Work(Steps(bench, job, keeping, folder)).do()
        except (Fault, Lost):
            raise
        except EdgelmError as error:
            raise platform(_FULL if isinstance(error, NoSpace) else error.what) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise platform(_FULL) from error
            raise platform(f"{type(error).__name__} at {_where(error)}") from error  # its text may hold what is secret


class _Answered(NamedTuple):
    """What a model was asked at one go, its journal, the marks of all tasks, and the marked answers to each."""

    questions: Rendered
    journal: Journal
    marks: Report
    answers: dict[str, bytes]


class _Work:
    def __init__(self, steps: Steps) -> None:
        self.steps, self.started = steps, utc_now()
        self.bench, self.job, self.folder = steps.bench, steps.job, steps.folder
        self.rules: Rules = parse("rules", self.job.rules)
        self.package = self.folder / "package"
        self.hosts: Sequence[str] = ()  # that its links may name

    def do(self) -> None:
        """All of it."""
        self.steps.stage("fetch")
        try:
            self.hosts = package.assembled(self.bench, self.job, self.package, self.steps.keeping.hold)
        except NoFile as missing:
            if self.job.kind != "check":
                raise
            self.bench.calls.result(self.job, findings=[missing.finding().as_json()])
            return
        if self.job.kind == "smoke":
            smoke.run(self.steps, self.package, self.engine)
        else:
            (self.check if self.job.kind == "check" else self.evaluate)()

    def check(self) -> None:
        """Findings."""
        self.steps.stage("verify")
        words = ("edgelm", "check", str(self.package), "--rules", self.job.rules, "--track", self.job.track, "--values",
                 "--json", *(word for host in self.hosts for word in ("--link-host", host)))  # fmt: skip
        done = self.steps.boxed("check", words, [self.package])
        try:
            findings = parse_json(plain.read(done.step.folder, OUT, MAX_RECORD), "the checker's output")["findings"]
        except (InputError, KeyError, TypeError):
            raise self.steps.fault(done) from None
        if any(measuring.brings_code(checkpoint) for checkpoint in self.package.glob("models/*/checkpoint")):
            findings = [_UNMEASURED, *findings]
        self.bench.calls.result(self.job, findings=findings)

    def evaluate(self) -> None:
        """The reports of all models."""
        models: dict[str, Any] = {}
        reports: dict[str, Report] = {}
        journals: dict[str, bytes] = {}
        with Submission(self.package) as submission:
            folders = {slot: submission.model_folder(slot) / "checkpoint" for slot in submission.slots}
            for slot, checkpoint in folders.items():
                measuring.require_measurable(slot, checkpoint)
            for slot, checkpoint in folders.items() if len(folders) > 1 else ():
                self.try_out(self.public(slot, checkpoint, submission.card(slot)))
            for slot, checkpoint in folders.items():
                models[slot], reports[slot] = self.model(slot, checkpoint, submission.card(slot), journals)
        self.steps.keeping.hold()
        body = {
            "format": 1, "submission": self.job.submission, "manifest": self.job.manifest, "rules": self.rules.digest,
            "box": self.bench.box.facts, "eligible": self.bench.box.holds, "models": models,
            "run": manifest(self.steps, self.started, reports, journals),
        }  # fmt: skip
        self.bench.calls.result(self.job, result=self.bench.calls.put(self.job, canonical_json(body)))

    def model(
        self, slot: str, checkpoint: Path, card: Card, journals: dict[str, bytes]
    ) -> tuple[dict[str, Any], Report]:
        """What the result names of one model, and its public report; its journals are added to the others."""
        public = self.public(slot, checkpoint, card)
        told = self.answered(public, journals)
        own = self.folder / "models" / public.name
        itself = agreement(self.steps, public, told.questions, told.journal, own)
        hidden = None
        if self.bench.secrets.holdouts:
            hidden = Asked(slot, checkpoint, public.engine, card, hidden=True)
            secret = self.answered(hidden, journals)
        self.steps.stage("throughput")
        known = measuring.Known(public, told.questions, journals[public.name], itself)
        speed = measuring.speed(self.steps, known, own / "speed")
        self.steps.stage("score")
        report = marking.joined(slot, told.marks, speed)
        named = marking.handed_in(self.steps, report, told.answers) | {"agreement": itself.model_dump()}
        if hidden:
            named |= {"holdout": marking.handed_in(self.steps, secret.marks, secret.answers)}
        return named, report

    def public(self, slot: str, checkpoint: Path, card: Card) -> Asked:
        """The public tasks, as a model is asked them."""
        tasks = tuple(task for task in self.rules.tasks if task != HOLDOUT)
        return Asked(slot, checkpoint, self.engine(checkpoint), card, tasks)

    def try_out(self, asked: Asked) -> None:
        """Have a model answer its first questions, unless it has; these answers count like all others."""
        self.steps.stage("smoke")
        own, journal = self.folder / "models" / asked.name, Journal(self.steps, asked.name)
        if not journal.texts:
            questions = rendered(self.steps, asked, own / "rendered")
            asking.ask(self.steps, asked, questions.first(_FIRST), journal, own)

    def answered(self, asked: Asked, journals: dict[str, bytes]) -> _Answered:
        """Ask all tasks, and mark what is answered."""
        self.steps.stage("tasks")
        own = self.folder / "models" / asked.name
        questions = rendered(self.steps, asked, own / "rendered")
        journal = Journal(self.steps, asked.name)
        asking.ask(self.steps, asked, questions, journal, own)
        journals[asked.name] = journal.read()
        return _Answered(questions, journal, *marking.marked(self.steps, asked, journals[asked.name], own / "marks"))

    def engine(self, checkpoint: Path) -> str:
        """The engine that asks; a model's own code is run in a box, and nowhere else."""
        if not (self.bench.box.holds and measuring.brings_code(checkpoint)):
            return self.bench.engine
        return f"{self.bench.engine}{',' if ':' in self.bench.engine else ':'}code=true"


def _where(error: Exception) -> str:
    """The line of the program that an error comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
