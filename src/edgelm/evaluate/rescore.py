"""`edgelm evaluate --rescore`: the scores of a finished report made anew from its own answers, without any model.

A task may be one that the report has, or another that asks the same questions, such as the one with a fixed scorer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgelm import __version__
from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption, MissingInput
from edgelm.evaluate.keep import alone
from edgelm.evaluate.questions import Questions, Selection, questions
from edgelm.evaluate.scoring import marked, score, write_answers
from edgelm.files import canonical_json
from edgelm.report import Report, TaskScore, read_answers
from edgelm.rules.base import HOLDOUT
from edgelm.tasks.base import Task

Rows = dict[str, Mapping[str, Any]]  # what a reply holds, by key


def rescore(out: Path, tasks: Sequence[tuple[Task, DataFolder]], checkpoint: Checkpoint | None = None) -> Report:
    """The report with new scores of these tasks; its other scores stay.

    Args:
        out: a finished report.
        tasks: each with the data that its rows come from.
        checkpoint: if given, held against the report.

    Raises:
        MissingInput: there is no finished report, or it lacks answers to today's questions.
        BadOption: the report is of another checkpoint or suite, or a run is writing to it.
    """
    _require_suite(Report.load(out), tasks)  # read before: nothing is locked in a folder that is no report
    with alone(out):
        report = Report.load(out)
        if checkpoint and checkpoint.digest != report.checkpoint:
            raise BadOption(f"{out} holds the report of another checkpoint ({report.name})", mend="choose another -o")
        kept: dict[str, Rows] = {
            label: {row.key: _reply(row) for row in read_answers(out, label)} for label in report.tasks
        }
        found = [_find(report, kept, task, data) for task, data in tasks]
        scores = dict(report.tasks)
        # A kill in here leaves new marks beside old scores, which the same command mends: the answers stay the same.
        for asked, rows, like in found:
            answers = marked(asked, rows)
            scores[asked.task.label] = score(asked, answers, like.prompting, like.engine)
            write_answers(out, asked.task.label, answers)
        context = checkpoint.context if checkpoint else report.context  # reports of old do not have it
        report = report.model_copy(update={"tasks": scores, "context": context, "made_by": f"edgelm {__version__}"})
        report.save(out)
    return report


def _require_suite(report: Report, tasks: Sequence[tuple[Task, DataFolder]]) -> None:
    """Refuse upstream data for a report made with other suites alone, before any of it is fetched."""
    suites = {score.protocol.partition("/")[0] for score in report.tasks.values()} - {HOLDOUT}
    if suites and any(data.upstream and data.suite not in suites for _, data in tasks):
        raise BadOption(f"this report was made with the suite {', '.join(sorted(suites))}",
                        mend="give --data of that suite")  # fmt: skip


def _reply(answer: Any) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude={"sample", "subset", "mark"})


def _find(report: Report, kept: Mapping[str, Rows], task: Task, data: DataFolder) -> tuple[Questions, Rows, TaskScore]:
    """The questions of a task that have answers, the answers, and a score that says how they were asked.

    The answers are the task's own, else those of any task that asks the same.
    """
    own = report.tasks.get(task.label)
    rows = kept[task.label] if own else {key: row for rows in kept.values() for key, row in rows.items()}
    found = []
    for like in [own] if own else _ways(report.tasks.values()):
        settings = {"checkpoint": report.checkpoint, "engine": like.engine, "prompting": like.prompting}
        asked = questions(task, data, Selection(), settings)
        answered = [row for row in asked.rows if row[1].key in rows]
        found.append((Questions(task, data, answered, asked.total), like))
    best = max(found, key=lambda pair: len(pair[0].rows), default=None)
    if best is None or len(best[0].rows) < (own.samples if own else 1):
        raise MissingInput(f"the report has too few answers to today's questions of {task.label}",
                           why="it was asked with other data or prompts" if own else "the task was not asked",
                           mend="evaluate it (without --rescore)")  # fmt: skip
    return best[0], rows, best[1]


def _ways(scores: Iterable[TaskScore]) -> list[TaskScore]:
    """One score for each way of asking, engine and prompting together."""
    ways = {canonical_json([score.engine, score.prompting]): score for score in scores}
    return list(ways.values())
