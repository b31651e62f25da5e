"""Marking, outside the box and without the model: from the server's journal alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelm.errors import InputError
from edgelm.files import canonical_json
from edgelm.report import REPORT, Report
from edgelm.server.worker import plain
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.rendering import MARK, Asked, orders
from edgelm.server.worker.steps import Steps


def marked(steps: Steps, asked: Asked, journal: bytes, out: Path) -> tuple[Report, dict[str, bytes]]:
    """The report of all tasks, and the marked answers to each.

    Args:
        steps: that run.
        asked: what was.
        journal: that the server has, with an answer to every question.
        out: a folder that no box sees.

    Raises:
        Fault: the platform's.
    """
    plain.remove(out)
    (out / "log").mkdir(parents=True)
    (out / "log" / "answers.jsonl").write_bytes(journal)
    done = steps.outside(f"{asked.slot}/marks", (*MARK, orders(steps, asked, out)), hidden=asked.hidden)
    if not (done.good and (out / REPORT).is_file()):
        raise steps.ours(done)
    report = Report.load(out)
    return report, {task: (out / "answers" / f"{task}.jsonl").read_bytes() for task in report.tasks}


def handed_in(steps: Steps, report: Report, answers: dict[str, bytes]) -> dict[str, Any]:
    """A report and its answers on the server, as a result names them."""
    put = steps.bench.calls.put
    body = canonical_json(report.model_dump(mode="json"))
    return {
        "report": put(steps.job, body),
        "answers": {task: put(steps.job, data) for task, data in answers.items()},
    }


def joined(slot: str, marks: Report, speed: Report) -> Report:
    """Both reports as one. Of the speed's, which a box has written, no score is taken.

    Raises:
        Fault: the participant's: they are not of the same checkpoint.
    """
    try:
        return speed.model_copy(update={"tasks": {}}) | marks
    except InputError as error:
        raise Fault("participant", "crash", f"{slot}: {error.what}") from None
