"""Per-sample marks as they are published, and the score that follows from them. Rules R0.1 and R0.2.

A task's score is a weighted mean of the means of its strata (subsets): rows, subsets or categories weigh the same, as
the task says. The weights are kept beside the marks, so that a score can be computed again by whoever has nothing else.
They are asked of the task once: the weight of a stratum is the score when it alone has full marks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from typing import Annotated

from pydantic import Field

from edgelm import plugins
from edgelm.errors import InputError
from edgelm.files import canonical_json
from edgelm.report import FULL_MARK, Answer, Exact, mean_percent
from edgelm.score.entries import Record

_MOST_SUBSETS = 200  # of a task; the work of weighing them grows with their square
Mark = Annotated[int, Field(ge=0, le=FULL_MARK)]  # millionths
Aggregate = Callable[[Mapping[str | None, Sequence[int]]], Fraction]


class Stratum(Record):
    """The marks of one subset in file order, and what their mean weighs."""

    weight: Exact
    marks: tuple[Mark, ...] = Field(min_length=1)


class Marks(Record):
    """All marks of one model on one task, by the name of their subset (empty for a task that has none)."""

    task: str
    protocol: str
    answers: str  # sha256 of the file of answers that they were made from
    strata: dict[str, Stratum]

    @property
    def score(self) -> Fraction:
        """The task's score in percent."""
        return sum((each.weight * mean_percent(each.marks) for each in self.strata.values()), Fraction(0))

    def to_bytes(self) -> bytes:
        """Canonical JSON, by whose digest an entry names its marks."""
        return canonical_json(self.model_dump(mode="json"))


def marks_of(task: str, protocol: str, answers: Iterable[Answer], digest: str) -> Marks:
    """The marks of kept answers, weighed as the task weighs them.

    Raises:
        ValueError: an answer has no mark (an empty one has 0), a mark is outside 0 to a million, a weight below zero,
            or the task knows no such subset.
    """
    answers = list(answers)
    if unmarked := sum(answer.mark is None for answer in answers):
        raise ValueError(f"{unmarked:,} of them have no mark")
    by_subset: dict[str | None, list[int]] = defaultdict(list)
    for answer in answers:
        by_subset[answer.subset].append(answer.mark or 0)
    weights = stratum_weights(task, {subset: len(own) for subset, own in by_subset.items()})
    strata = {subset or "": Stratum(weight=weights[subset], marks=tuple(own)) for subset, own in by_subset.items()}
    return Marks(task=task, protocol=protocol, answers=digest, strata=strata)


def stratum_weights(task: str, sizes: Mapping[str | None, int]) -> dict[str | None, Fraction]:
    """What the mean of each subset weighs in the task's score, by the number of marks in each.

    Raises:
        ValueError: the task knows no such subset, or there are more than any task has.
    """
    if len(sizes) > _MOST_SUBSETS:
        raise ValueError(f"{task} has {len(sizes):,} subsets, no task has more than {_MOST_SUBSETS}")
    aggregate = _aggregate(task)
    try:
        return {
            own: aggregate({name: [FULL_MARK * (name == own)] * size for name, size in sizes.items()}) / 100
            for own in sizes
        }
    except KeyError as error:
        raise ValueError(f"{task} has no subset {error}") from None


def _aggregate(task: str) -> Aggregate:
    """How the task's plug-in makes a score of marks; the plain mean for a task that is not known here.

    Found through the registry: this floor lies beside the tasks' own.
    """
    try:
        if task in plugins.available("tasks"):
            known: Aggregate = plugins.parse("tasks", task).aggregate
            return known
    except InputError:
        pass
    return lambda marks: mean_percent(chain.from_iterable(marks.values()))
