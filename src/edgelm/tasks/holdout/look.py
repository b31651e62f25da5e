"""What an organiser should know of a hold-out's tasks before the digest is published; no reference is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgelm.tasks.base import Sample
from edgelm.tasks.holdout.rows import LETTERS


@dataclass(frozen=True)
class Look:
    """One task's rows by numbers.

    Attributes:
        rows: how many.
        subsets: rows by subset.
        repeated: rows that ask, with the same choices, what an earlier row of the hold-out asks.
        revealing: rows whose question holds a text that is expected as a free answer.
        references: how often each letter or place is the right one, for tasks with choices.
        example: the first question, as a base model is asked.
    """

    rows: int
    subsets: dict[str, int]
    repeated: int
    revealing: int
    references: dict[str, int]
    example: str


def look(samples: Sequence[Sample], seen: set[tuple[str, tuple[str, ...]]]) -> Look:
    """What is to be known of a task; its questions are added to those `seen` in earlier tasks of the hold-out."""
    repeated = 0
    for sample in samples:
        asked = (sample.prompt.base_text(), sample.choices)
        repeated += asked in seen
        seen.add(asked)
    return Look(
        rows=len(samples),
        subsets=dict(Counter(sample.subset for sample in samples if sample.subset is not None)),
        repeated=repeated,
        revealing=sum(map(_reveals, samples)),
        references=dict(sorted(Counter(right for sample in samples if (right := _right(sample))).items())),
        example=samples[0].prompt.base_text() if samples else "",
    )


def _reveals(sample: Sample) -> bool:
    """Whether the question itself holds a free answer; numbers and single letters are met by chance."""
    expected = sample.reference if isinstance(sample.reference, list) else []
    question = sample.prompt.turns[-1].text.casefold()
    return any(len(text) > 3 and text.casefold() in question for text in expected if isinstance(text, str))


def _right(sample: Sample) -> str:
    """Which choice is the right one, as a letter or place."""
    if isinstance(sample.reference, tuple) and sample.reference[0] in tuple(LETTERS):  # a program's beginning is none
        return sample.reference[0]
    return str(sample.reference) if sample.choices and isinstance(sample.reference, int) else ""
