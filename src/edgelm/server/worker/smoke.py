"""A smoke run: each model of a package is asked a few tiny public questions in the box, and all that is said is told.

The questions are made here, from a seed that everybody has, so that a team sees the same at home.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgelm.checkpoint import validate
from edgelm.data import miniature
from edgelm.files import MAX_RECORD, canonical_json, parse_json
from edgelm.report import MAX_ANSWERS, REPORT, Report
from edgelm.rules.miniature import Miniature
from edgelm.server.worker import plain
from edgelm.server.worker.steps import Steps
from edgelm.submission import Submission

_ROWS = 8  # of each task
_TRAIN_ROWS = 1000  # that the suite brings beside its questions; none is used
_LINES = 500  # sent at once
_RULES = Miniature()


def run(steps: Steps, package: Path, engine: Callable[[Path], str]) -> None:
    """Ask all models of a package and hand in what came of it.

    Args:
        steps: that run.
        package: its folder.
        engine: the spec of the engine that asks, by the folder of a checkpoint.

    Raises:
        Fault: a model does not answer, or the platform failed.
    """
    steps.stage("smoke")
    data = steps.folder / "miniature"
    if not data.exists():  # it is there, whole, if a worker was killed at this job
        miniature.write(data, rows=_ROWS, train_rows=_TRAIN_ROWS)
    with Submission(package) as submission:
        models = {slot: _asked(steps, slot, submission.model_folder(slot) / "checkpoint", data, engine)
                  for slot in submission.slots}  # fmt: skip
    body = {
        "format": 1, "submission": steps.job.submission, "manifest": steps.job.manifest, "rules": _RULES.digest,
        "box": steps.bench.box.facts, "eligible": False, "models": models,
    }  # fmt: skip
    steps.bench.calls.result(steps.job, result=steps.bench.calls.put(steps.job, canonical_json(body)))


def _asked(steps: Steps, slot: str, checkpoint: Path, data: Path, engine: Callable[[Path], str]) -> dict[str, Any]:
    """What the result names of one model."""
    part, writes = f"{slot}/smoke", steps.folder / "models" / slot / "smoke"
    named = [word for task in _RULES.tasks for word in ("-t", task)]
    words = ("edgelm", "evaluate", str(checkpoint), "-o", str(writes / "report"), "--data", str(data), "--offline",
             "--engine", engine(checkpoint), *named)  # fmt: skip
    plain.remove(writes)  # of a worker that was killed
    done = steps.boxed(part, words, [checkpoint, data], writes)
    _tell_all(steps, done.said)
    if not done.good:
        raise steps.fault(done)
    put = steps.bench.calls.put
    report = steps.from_box(part, lambda: _report(plain.read(writes, f"report/{REPORT}", MAX_RECORD)))
    answers = {task: put(steps.job, _answers(steps, writes, task)) for task in _RULES.tasks}
    steps.bench.calls.progress(steps.job, part=part, done=1, of=1)
    return {"report": put(steps.job, canonical_json(report.model_dump(mode="json"))), "answers": answers}


def _tell_all(steps: Steps, said: str) -> None:
    """Send the whole of what a step said, where others send its end."""
    lines = said.splitlines()
    for start in range(0, len(lines), _LINES):
        steps.bench.calls.progress(steps.job, lines=lines[start : start + _LINES])


def _answers(steps: Steps, writes: Path, task: str) -> bytes:
    name = f"report/answers/{task}.jsonl"
    found: bytes = steps.from_box(task, lambda: plain.read(writes, name, MAX_ANSWERS))
    return found


def _report(data: bytes) -> Report:
    return validate(Report, parse_json(data, REPORT), REPORT)
