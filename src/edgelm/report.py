"""A report: what one checkpoint scored, and how fast and large it was on one machine.

On disk it is a folder: `report.json`, and `answers/<task>.jsonl` with one checksummed line for each answer. It is
complete when `report.json` is there; that file holds nothing that cannot be recomputed from the answers and the
repeats. Marks are whole millionths, scores exact fractions in percent, times whole nanoseconds.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)  # fmt: skip

from edgelm.checkpoint import at_most, validate
from edgelm.errors import BadOption, MissingInput
from edgelm.files import JsonLog, read_json, write_json

FULL_MARK = 1_000_000  # millionths
REPORT = "report.json"
MAX_TASKS = 200
MAX_NAMED = 1000  # subsets, notes, figures, meters, dtypes: of each
MAX_REPEATS = 10_000
MAX_ANSWERS = 128 << 20  # bytes of a task's answers
MAX_ROWS = 200_000  # of them

# As `str` writes a fraction. Exponents stay out: the few bytes of 1e999999999 would take the memory of a machine.
# Means of several such fractions stay below the 4,300 digits that Python writes.
_WRITTEN = re.compile(r"-?[0-9]{1,300}(/0*[1-9][0-9]{0,299})?", re.ASCII)
_LARGEST = 10**300  # of a whole number, which is bounded alike


def fraction(value: object) -> Fraction:
    """The exact value of a fraction, a whole number, or the text of either.

    Raises:
        ValueError: it is something else; a decimal or an exponent, too.
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return Fraction(value)
    if isinstance(value, str) and _WRITTEN.fullmatch(value):
        return Fraction(value)
    raise ValueError('a fraction such as "117/2" is needed')


def _percent(value: Fraction) -> Fraction:
    if not 0 <= value <= 100:
        raise ValueError("a score is between 0 and 100")
    return value


Exact = Annotated[Fraction, PlainValidator(fraction), PlainSerializer(str, return_type=str)]
Percent = Annotated[Exact, AfterValidator(_percent)]
Positive = Annotated[int, Field(gt=0, lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Counts = Annotated[dict[str, Count], at_most(MAX_NAMED)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Times = Annotated[list[Positive], Field(min_length=1), at_most(MAX_REPEATS)]  # nanoseconds
Label = Annotated[str, Field(pattern=r"\A[a-z0-9][\w.+-]*\z", max_length=200)]  # of a task, which is a file's name, too


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)  # devices add fields of their own


class SubsetScore(_Record):
    """The score of one part of a task."""

    score: Percent
    samples: Positive


class TaskScore(_Record):
    """The score of one task."""

    protocol: str  # what was asked and how it was marked, version included
    score: Percent
    samples: Positive  # answered
    of: Positive  # rows of the data set; fewer answers are a sample, not a result
    prompting: Literal["chat", "base"]
    engine: dict[str, Any]  # the settings and versions that the answers depend on
    subsets: Annotated[dict[str, SubsetScore], at_most(MAX_NAMED)] = Field(default_factory=dict)
    notes: Counts = Field(default_factory=dict)  # what must be known of some answers, and of how many
    figures: Annotated[dict[str, Exact], at_most(MAX_NAMED)] = Field(default_factory=dict)  # what the protocol reports
    conditions: dict[str, Any] = Field(default_factory=dict)  # what the marks depend on beside the answers

    @model_validator(mode="after")
    def _no_more_than_all(self) -> TaskScore:
        if self.samples > self.of:
            raise ValueError(f"{self.samples} rows cannot be answered of {self.of}")
        return self

    @property
    def complete(self) -> bool:
        """Whether every row of the data set was answered."""
        return self.samples == self.of


class Workload(_Record):
    """What a speed measurement runs."""

    prompt_tokens: int
    generated_tokens: int
    batch: int = 1
    repeats: int = 5


def _run(workload: Workload) -> Workload:
    """A workload that somebody can have run; of one that is asked for, `devices` says what is wrong."""
    if not all(0 < getattr(workload, name) < 2**31 for name in Workload.model_fields):
        raise ValueError("all counts of a workload are between 1 and 2,147,483,647")
    return workload


class Speed(_Record):
    """Speed on the fixed workload. Seconds and tokens a second, from the repeats."""

    workload: Annotated[Workload, AfterValidator(_run)]
    device: str
    repeats_ns: Times  # wall time of each repeat
    first_token_ns: Times  # of which until the first token
    prefill: Rate  # prompt tokens a second, median
    decode: Rate  # generated tokens a second after the first, median
    spread: Rate  # (slowest − fastest) / median

    @property
    def throughput(self) -> Fraction:
        """(Prompt + generated) tokens a second, median over the repeats, exact."""
        tokens = (self.workload.prompt_tokens + self.workload.generated_tokens) * self.workload.batch
        return median([Fraction(tokens * 10**9, nanoseconds) for nanoseconds in self.repeats_ns])


class Answer(_Record):
    """One answer as kept in the log."""

    key: str  # digest of all that the answer depends on
    sample: str
    text: str
    mark: int | None = None  # millionths; None, which only strangers write: no score follows
    tokens: int
    prompt_tokens: int
    finish: Literal["stop", "length"]
    subset: str | None = None
    note: str | None = None  # how it was made, where the engine's name does not say


class Report(_Record):
    """The contents of `report.json`."""

    format: Literal[1] = 1
    checkpoint: str  # digest
    name: str
    parameters: Positive
    bytes: Positive
    dtypes: Counts
    context: Positive | None = None  # tokens that the model was made for, as far as its configuration says
    tasks: Annotated[dict[Label, TaskScore], at_most(MAX_TASKS)] = Field(default_factory=dict)
    speed: Speed | None = None
    memory: Annotated[dict[str, Positive], at_most(MAX_NAMED)] = Field(default_factory=dict)  # peak bytes by meter
    predicted: Counts = Field(default_factory=dict)  # bytes by part, computed before the run
    machine: dict[str, Any] = Field(default_factory=dict)
    made_by: str = ""

    def __or__(self, other: Report) -> Report:
        """Join two reports of one checkpoint; what `other` has wins.

        Raises:
            BadOption: they are of different checkpoints.
        """
        if self.checkpoint != other.checkpoint:
            raise BadOption(
                f"reports of two checkpoints cannot be joined ({self.name} and {other.name})",
                why=f"digests {self.checkpoint[:12]} and {other.checkpoint[:12]}",
                mend="evaluate and measure the same checkpoint",
            )
        mine, theirs = self.model_dump(), other.model_dump()
        tasks = {**mine["tasks"], **theirs["tasks"]}
        merged = {**mine, **{key: value for key, value in theirs.items() if value}, "tasks": tasks}
        return Report.model_validate(merged)

    def save(self, folder: Path) -> None:
        """Write `report.json`, which makes the folder a finished report."""
        write_json(folder / REPORT, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> Report:
        """Read a report folder.

        Raises:
            MissingInput: there is no finished report.
            BadFile: it is damaged.
        """
        path = folder / REPORT
        if not folder.is_dir():
            raise MissingInput(f"there is no folder {folder}", mend="give the folder of a finished report")
        if not path.is_file():
            raise MissingInput(f"{folder} holds no finished report", mend="run edgelm evaluate or measure again")
        return validate(cls, read_json(path), path)


def answers_log(folder: Path, task: str) -> JsonLog:
    """The log of a task's answers in a report folder."""
    return JsonLog(folder / "answers" / f"{task}.jsonl")


def each_answer(folder: Path, task: str) -> Iterator[Answer]:
    """The kept answers of a task, in the order written, one by one.

    Raises:
        BadFile: one is damaged, or there are more than `MAX_ROWS` or `MAX_ANSWERS` bytes of them.
    """
    log = answers_log(folder, task)
    for row, _ in log.each(MAX_ANSWERS, MAX_ROWS):
        yield validate(Answer, row, log.path)


def read_answers(folder: Path, task: str) -> list[Answer]:
    """All of them at once."""
    return list(each_answer(folder, task))


def parse_answers(data: bytes, where: object) -> list[Answer]:
    """The answers in the bytes of a task's log, which errors call `where`.

    Raises:
        BadFile: one is damaged, or there are more than `MAX_ROWS` of them.
    """
    return [validate(Answer, row, where) for row, _ in JsonLog.rows(io.BytesIO(data), where, MAX_ROWS)]


def median(values: Iterable[Fraction]) -> Fraction:
    """The middle value, or the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def mean_percent(marks: Iterable[int]) -> Fraction:
    """The exact mean of marks in millionths, in percent; of none, 0."""
    marks = list(marks)
    if not marks:
        return Fraction(0)
    return Fraction(sum(marks) * 100, len(marks) * FULL_MARK)
