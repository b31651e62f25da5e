"""What a reader of the scores must know before trusting them, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.evaluate.blind import blind
from edgelm.evaluate.effort import Effort
from edgelm.evaluate.official import is_official
from edgelm.evaluate.opencompass_names import TITLES
from edgelm.report import Report

OFTEN = 0.2  # share of answers ended by the cap, from which on it is worth a sentence


def cautions(report: Report, efforts: Sequence[Effort]) -> list[str]:
    """The sentences, each with the tasks that it is about."""
    found = {
        "Only some rows were asked, so these are estimates and no results": _partial(report),
        "Not of the official protocol, and not comparable with published scores": _unofficial(report),
        "No sign of skill, being at most two standard errors above the best constant answer": _blind(report),
        "Programs were run without a sandbox": _unconfined(report),
        "Code that comes with the checkpoint was run": _own_code(report),
        "Answers made otherwise than by the engine named": _noted(report),
        "Answers that ran past the model’s context": _beyond(efforts),
        "Questions that filled the context and may have lost their beginning": _filled(efforts),
        "Answers ended by the cap on tokens and not by the model": _capped(efforts),
    }
    return [f"{said}: {', '.join(tasks)}." for said, tasks in found.items() if tasks]


def _partial(report: Report) -> list[str]:
    return [f"{_title(task)} {score.samples:,} of {score.of:,}"
            for task, score in report.tasks.items() if not score.complete]  # fmt: skip


def _unofficial(report: Report) -> list[str]:
    return [_title(task) for task, score in report.tasks.items() if not is_official(score)]


def _blind(report: Report) -> list[str]:
    held = {task: blind(task, score) for task, score in report.tasks.items() if score.complete}
    return [_title(task) for task, against in held.items() if against and report.tasks[task].score <= against.skill]


def _unconfined(report: Report) -> list[str]:
    sandboxes = {task: str(score.conditions.get("sandbox")) for task, score in report.tasks.items()}
    return [_title(task) for task, sandbox in sandboxes.items() if sandbox.startswith("NONE")]


def _own_code(report: Report) -> list[str]:
    return [_title(task) for task, score in report.tasks.items() if score.engine.get("code")]


def _noted(report: Report) -> list[str]:
    return [f"{_title(task)} {number:,} ({note})"
            for task, score in report.tasks.items() for note, number in score.notes.items()]  # fmt: skip


def _beyond(efforts: Sequence[Effort]) -> list[str]:
    return [f"{_title(each.task)} {each.beyond:,} of {each.answers:,}" for each in efforts if each.beyond]


def _filled(efforts: Sequence[Effort]) -> list[str]:
    return [f"{_title(each.task)} {each.filled:,} of {each.answers:,}" for each in efforts if each.filled]


def _capped(efforts: Sequence[Effort]) -> list[str]:
    often = [each for each in efforts if each.capped > OFTEN * each.answers]
    return [f"{_title(each.task)} {each.capped / each.answers:.0%}" for each in often]


def _title(task: str) -> str:
    return TITLES.get(task, task)
