"""What a task is: samples with prompts and references, and the mark that an answer earns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from edgelm.chat import Prompt
from edgelm.data.folder import DataFolder
from edgelm.report import mean_percent


@dataclass(frozen=True)
class Sample:
    """One row: its place in the file, what is asked and what is expected."""

    id: str
    index: int
    prompt: Prompt
    reference: Any
    subset: str | None = None


class Task(Protocol):
    """A plug-in of `tasks/`: a frozen dataclass. `version` names the official protocol of prompt and scorer."""

    version: str
    max_tokens: int
    stop: tuple[str, ...]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows in file order.

        Raises:
            MissingInput: the data is not there and may not be fetched.
            BadFile: the data is not what the task needs.
        """
        ...

    def score(self, sample: Sample, answer: str) -> int:
        """The mark of one answer in millionths: 0 is wrong, 1 000 000 right."""
        ...

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The task's score in percent from all marks by subset."""
        ...


class MeanScore:
    """For tasks whose score is the plain mean of all marks."""

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The mean of all marks, in percent."""
        return mean_percent([mark for subset in marks.values() for mark in subset])
