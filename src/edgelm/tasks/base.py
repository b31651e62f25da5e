"""What a task is: samples with prompts and references, and the mark that an answer earns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from edgelm.chat import Prompt
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.report import mean_percent


@dataclass(frozen=True)
class Sample:
    """One row: its place among all rows of the task, what is asked and what is expected.

    `max_tokens` replaces the task's cap. A row with `choices` is not answered freely: the engine gives the natural log
    of each choice's probability after the prompt, and the answer is their JSON list.
    """

    id: str
    index: int
    prompt: Prompt
    reference: Any
    subset: str | None = None
    max_tokens: int | None = None
    choices: tuple[str, ...] = ()


Row = tuple[Sample, str]  # a sample and its answer


class Task(Protocol):
    """A plug-in of `tasks/`: a frozen dataclass whose fields are the task's options."""

    @property
    def label(self) -> str:
        """What the task is called in reports and on disk."""
        ...

    @property
    def version(self) -> str:
        """The official name of prompt and scorer together, such as `gsm8k-1d7fe4`."""
        ...

    @property
    def max_tokens(self) -> int:
        """The most tokens an answer may have."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end an answer, beside the model's own end."""
        ...

    def files(self, data: DataFolder) -> list[str]:
        """The data files that prompts and references are made from."""
        ...

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows in file order.

        Raises:
            MissingInput, Offline: the data is not there and may not be fetched.
            BadFile: the data is not what the task needs.
        """
        ...

    def score(self, sample: Sample, answer: str) -> int:
        """The mark of one answer in millionths: 0 is wrong, or empty; 1 000 000 is right."""
        ...

    def score_all(self, rows: Sequence[Row]) -> list[int]:
        """The marks of many answers, in their order."""
        ...

    def in_form(self, sample: Sample, answer: str) -> bool | None:
        """Whether an answer, right or wrong, has the form that the marks need; None if they need none."""
        ...

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The task's score in percent from all marks, by subset."""
        ...

    def figures(self, rows: Sequence[Row]) -> dict[str, Fraction]:
        """What the protocol reports beside the score, by the protocol's names and in its units."""
        ...

    def conditions(self) -> dict[str, Any]:
        """What the marks depend on beside the answers, such as the sandbox that ran them."""
        ...


class Benchmark:
    """What most tasks share: rows are marked one by one, and the score is the plain mean of all marks."""

    def score(self, sample: Sample, answer: str) -> int:
        """See `Task.score`."""
        raise NotImplementedError

    def score_all(self, rows: Sequence[Row]) -> list[int]:
        """The mark of each answer."""
        return [self.score(sample, answer) for sample, answer in rows]

    def in_form(self, sample: Sample, answer: str) -> bool | None:
        """No form is needed."""
        return None

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The mean of all marks, in percent."""
        return mean_percent([mark for subset in marks.values() for mark in subset])

    def figures(self, rows: Sequence[Row]) -> dict[str, Fraction]:
        """Nothing beside the score."""
        return {}

    def conditions(self) -> dict[str, Any]:
        """Nothing beside the answers."""
        return {}


def mean(scores: Sequence[Fraction]) -> Fraction:
    """The plain mean of scores, however many rows each has; of none, 0."""
    return sum(scores, Fraction(0)) / len(scores) if scores else Fraction(0)


def protocol(task: Task, data: DataFolder) -> str:
    """The name of what is asked and how it is marked.

    The official name belongs to the upstream data alone. A suite of its own is named with a digest of its files, so
    that scores over different rows are never taken for the same.
    """
    if data.upstream:
        return f"{data.suite}/{task.version}"
    return f"{data.suite}/{task.label}-{data.digest(task.files(data))[:8]}"


def fill(template: str, columns: Mapping[str, str]) -> str:
    """Put a row into a template as OpenCompass does: one plain replacement of `{name}` after another, in column order.

    Unknown braces stay, and a value put in early that itself holds `{later}` is filled in turn.
    """
    for name, value in columns.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def field(row: Mapping[str, Any], path: str, where: str, kind: type = str) -> Any:
    """The value at a dotted path of a row.

    Raises:
        BadFile: the row lacks it, or it is of another kind.
    """
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise BadFile(f"{where} lacks the column '{path}'", mend="use the upstream format")
        value = value[part]
    if not isinstance(value, kind):
        raise BadFile(f"{where}: '{path}' is no {kind.__name__}", mend="use the upstream format")
    return value
