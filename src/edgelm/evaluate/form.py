"""How many answers have the form in which marks look for them, be they right or wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from edgelm.evaluate.benchmarks import by_label
from edgelm.report import Answer
from edgelm.tasks.base import Sample, Task


def in_form(
    answers: Mapping[str, Sequence[Answer]], samples: Mapping[str, Sequence[Sample]], asked: Iterable[Task] = ()
) -> dict[str, Fraction]:
    """The share of each task's answers, in percent.

    Left out are tasks whose marks need no form, whose questions are not at hand, or that are neither benchmarks nor
    among `asked`.
    """
    tasks = by_label(asked)
    shares = {
        label: _share(tasks[label], own, answers.get(label, ())) for label, own in samples.items() if label in tasks
    }
    return {label: share for label, share in shares.items() if share is not None}


def _share(task: Task, samples: Sequence[Sample], answers: Sequence[Answer]) -> Fraction | None:
    questions = {sample.id: sample for sample in samples}
    formed = [task.in_form(questions[each.sample], each.text) for each in answers if each.sample in questions]
    needed = [each for each in formed if each is not None]
    return Fraction(100 * sum(needed), len(needed)) if needed else None
