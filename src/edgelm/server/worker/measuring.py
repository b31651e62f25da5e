"""Measuring a model's speed and memory, in its box, alone on the machine, and whether that can be believed.

The measuring process is that of `edgelm measure`. Between its repeats it answers, untimed, questions that the model was
asked before, and is timed with prompts that are never the same. What that says is found out here, outside the box: a
model that is another when it is timed has no figures. Nobody is accused by a single measurement, since the machine may
be restless; a doubt that stays is shown beside the figures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.checkpoint import validate
from edgelm.files import MAX_RECORD, JsonLog, canonical_json, parse_json, read_json
from edgelm.report import REPORT, Report
from edgelm.server.worker import package, plain
from edgelm.server.worker.agreement import AGAIN, Agreement
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.journal import LOG, answers_of
from edgelm.server.worker.rendering import REQUESTS, Asked, Rendered
from edgelm.server.worker.steps import Steps

NOT_MEASURED = "no device here measures models with code of their own"
TIMED, COMPLIANCE = "edgelm.verify.timed", "edgelm.verify.compliance"  # the programs within, and outside
TEXTS, FOUND = "texts.json", "found.json"
TRIES = 3  # of a measurement that accuses, or that a busy machine leaves in doubt
_RESTLESS = ("M-03", "doubtful")  # what a test by the clock says of a busy machine


@dataclass(frozen=True)
class Known:
    """What is known of a model when it is measured.

    Attributes:
        asked: what it was.
        rendered: the requests.
        journal: its answers.
        itself: how far it repeats them.
    """

    asked: Asked
    rendered: Rendered
    journal: bytes
    itself: Agreement


def brings_code(checkpoint: Path) -> bool:
    """Whether a model has code of its own."""
    return any(checkpoint.rglob("*.py"))


def require_measurable(slot: str, checkpoint: Path) -> None:
    """Say before hours of questions what would be found after them.

    Raises:
        Fault: the participant's: the model's speed cannot be measured.
    """
    if brings_code(checkpoint):
        raise Fault("participant", "own-code", f"{slot}: {NOT_MEASURED}")


def speed(steps: Steps, known: Known, folder: Path) -> Report:
    """The report of a model's speed, with what the tests of it say; one that is on the server is not made again.

    Args:
        steps: that run.
        known: of the model.
        folder: for what goes into the box and comes out.

    Raises:
        Fault: the participant's, if the model breaks, is another when it is timed, or what the box wrote is no report;
            or the platform's.
    """
    part, calls = f"{known.asked.slot}/throughput", steps.bench.calls
    if blob := steps.job.done.get(part, (0, 0, None))[2]:
        cached = package.fetched(calls, steps.job, steps.bench.cache, blob, steps.keeping.hold)
        return _report(cached.read_bytes())
    for _ in range(TRIES):
        report = _measured(steps, part, known, folder)
        found = _tested(steps, report, known, folder)
        if not any(each["verdict"] == "invalid" or (each["code"], each["verdict"]) == _RESTLESS for each in found):
            break
    for each in found:
        if each["verdict"] == "invalid":
            raise Fault("participant", "invalid-run", f"{known.asked.slot}: {each['code']}: {each['what']}")
    report = _with_tests(report, found)
    blob = calls.put(steps.job, canonical_json(report.model_dump(mode="json")))
    calls.progress(steps.job, part=part, done=1, of=1, blob=blob)
    return report


def tests_of(report: Report) -> list[dict[str, Any]]:
    """What the tests of a measurement say: code, verdict and a sentence each."""
    return (report.speed.model_extra or {}).get("compliance", []) if report.speed else []


def _measured(steps: Steps, part: str, known: Known, folder: Path) -> Report:
    """One measurement; what was answered meanwhile lies in the folder that the box writes to."""
    writes, shown = folder / "writes", folder / "shown"
    for path in (writes, shown):
        plain.remove(path)
    shown.mkdir(parents=True)
    rendered, asked = known.rendered, known.asked
    hidden = rendered.with_fixed(rendered.again(AGAIN)) if rendered.fixed else b""
    (shown / REQUESTS).write_bytes(hidden)
    (shown / TEXTS).write_text(json.dumps(rendered.texts))
    orders = {
        "checkpoint": str(asked.checkpoint), "out": str(writes / "report"), "device": steps.bench.device,
        "rules": steps.job.rules, "texts": str(shown / TEXTS), "requests": str(shown / REQUESTS),
        "answers": str(writes / LOG), "engine": asked.engine, "prompting": rendered.prompting,
    }  # fmt: skip
    words = (TIMED, canonical_json(orders).decode())
    done = steps.boxed(part, words, [asked.checkpoint, shown], writes, use="alone")
    if not done.good:
        raise steps.fault(done)
    return steps.from_box(part, lambda: _report(plain.read(writes, f"report/{REPORT}", MAX_RECORD)))


def _tested(steps: Steps, report: Report, known: Known, folder: Path) -> list[dict[str, Any]]:
    """What the tests say of a measurement, from plain copies of what the box wrote."""
    part = f"{known.asked.slot}/compliance"
    answers = steps.from_box(part, lambda: answers_of(folder / "writes"))
    own = folder / "compliance"
    plain.remove(own)
    own.mkdir()
    report.save(own)
    (own / "journal.jsonl").write_bytes(known.journal)
    (own / "answers.jsonl").write_bytes(b"".join(JsonLog.line(each.model_dump(exclude_none=True))
                                                 for each in answers.values()))  # fmt: skip
    orders: dict[str, Any] = {"report": str(own), "answers": str(own / "answers.jsonl"),
                              "journal": str(own / "journal.jsonl"), "out": str(own / FOUND)}  # fmt: skip
    if fixed := known.rendered.fixed:
        orders["hidden"] = {"keys": known.rendered.again(AGAIN), "same": known.itself.same,
                            "fixed": fixed.key, "words": fixed.words}  # fmt: skip
    done = steps.outside(part, (COMPLIANCE, canonical_json(orders).decode()))
    if not done.good:
        raise steps.ours(done)
    found: list[dict[str, Any]] = read_json(own / FOUND, most=MAX_RECORD)
    lines = [f"{part}: {each['code']} {each['verdict']}: {each['what']}" for each in found]
    steps.bench.calls.progress(steps.job, lines=lines)
    return found


def _with_tests(report: Report, found: list[dict[str, Any]]) -> Report:
    """The report with what was found, without its evidence, which holds answers."""
    assert report.speed is not None  # what a measurement without one is, its tests have said
    told = [{name: each[name] for name in ("code", "verdict", "what")} for each in found]
    return report.model_copy(update={"speed": report.speed.model_copy(update={"compliance": told})})


def _report(data: bytes) -> Report:
    return validate(Report, parse_json(data, REPORT), REPORT)
