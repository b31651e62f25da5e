"""From kept answers to scores: marks are made anew each time, so that none is ever stale."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgelm.chat import Prompting
from edgelm.checkpoint import validate
from edgelm.evaluate.questions import Questions
from edgelm.files import JsonLog, write_bytes
from edgelm.report import Answer, SubsetScore, TaskScore, answers_log, mean_percent
from edgelm.tasks.base import protocol


def marked(asked: Questions, kept: Mapping[str, Mapping[str, Any]]) -> list[Answer]:
    """The answers of a task in file order, each with its mark. `kept` has what a `Reply` holds by key.

    Raises:
        BadFile: what was kept is no answer.
    """
    rows = [(sample, kept[request.key]) for sample, request in asked.rows]
    marks = asked.task.score_all([(sample, reply["text"]) for sample, reply in rows])
    answers = []
    for (sample, reply), mark in zip(rows, marks, strict=True):
        # Silence earns nothing, though a task from elsewhere may leave a row without a mark.
        answer = {**reply, "sample": sample.id, "subset": sample.subset, "mark": mark or 0}
        answers.append(validate(Answer, answer, f"the answer to {sample.id}"))
    return answers


def score(asked: Questions, answers: Sequence[Answer], prompting: Prompting, engine: Mapping[str, Any]) -> TaskScore:
    """The score of a task's marked answers, which this engine (its identity) has given."""
    marks: dict[str | None, list[int]] = defaultdict(list)
    for each in answers:
        marks[each.subset].append(each.mark or 0)
    rows = [(sample, each.text) for (sample, _), each in zip(asked.rows, answers, strict=True)]
    return TaskScore(
        protocol=protocol(asked.task, asked.data), score=asked.task.aggregate(marks), samples=len(answers),
        of=asked.total, prompting=prompting, engine=dict(engine),
        subsets={name: SubsetScore(score=mean_percent(own), samples=len(own))
                 for name, own in marks.items() if name is not None},
        notes=Counter(each.note for each in answers if each.note), figures=asked.task.figures(rows),
        conditions=asked.task.conditions(),
    )  # fmt: skip


def write_answers(out: Path, label: str, answers: Sequence[Answer]) -> None:
    """The finished answers in file order, all at once."""
    rows = (each.model_dump(mode="json", exclude_none=True) for each in answers)
    write_bytes(answers_log(out, label).path, b"".join(map(JsonLog.line, rows)))
