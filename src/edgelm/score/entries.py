"""What is known of a submission when it is scored, and its reduction to the numbers that are ranked.

An entry is plain data: exact fractions, whole bytes, one instant. All that decides the standings is in it and in the
rules, so equal entries and equal rules give equal standings. Rules R0 and R3 of the rule set.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from edgelm.errors import UnknownName
from edgelm.report import Positive, fraction
from edgelm.rules.base import HOLDOUT, Rules, Track
from edgelm.score.exact import mean_or_missing
from edgelm.score.throughput import ranked_throughput

THROUGHPUT = "throughput"
UNBOXED = "evaluation: its models ran outside a sandbox"  # a reason why an entry is out


def valid_score(value: object) -> Fraction | None:
    """The value as an exact fraction; None for what is no score: NaN, an infinity, a negative number, a float."""
    try:
        score = fraction(value)
    except ValueError:
        return None
    return score if score >= 0 else None


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


Score = Annotated[Fraction | None, PlainValidator(valid_score), PlainSerializer(_text)]
Whole = Annotated[int, Field(ge=0, lt=2**63)]
Instant = Annotated[AwareDatetime, AfterValidator(lambda instant: instant.astimezone(UTC))]


class Record(BaseModel):
    """A frozen record that JSON carries there and back without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Beside(Record):
    """What is reported beside a model's throughput and never ranked; None where its report does not say it."""

    prefill: Score = None  # prompt tokens a second, median
    decode: Score = None  # generated tokens a second after the first, median
    first_token_ns: Whole | None = None  # median
    spread: Score = None  # (slowest − fastest) / median
    kit_2024: Score = None  # inferences a second, as the starting kit of 2024 reckons them
    bytes_per_token: Score = None  # UTF-8 bytes of the fixed prompt
    memory: dict[str, Whole] = {}  # peak bytes by meter


class SlotModel(Record):
    """What one model of a submission reached."""

    name: str
    scores: dict[str, Score]  # percent, by task; None or absent is missing
    protocols: dict[str, str] = {}  # by which the scores were made
    marks: dict[str, str] = {}  # sha256 of the published marks that a task's score follows from
    throughput: Score = None  # tokens a second, unrounded; None without enough valid repeats
    repeats_ns: tuple[Positive, ...] = ()  # wall time of each valid repeat
    peak_memory: Whole | None = None  # bytes; None when it was not measured
    meter: str = ""  # by which it was
    parameters: Whole = 0
    bytes: Whole = 0
    beside: Beside = Beside()
    notes: tuple[str, ...] = ()  # why something is missing


class Entry(Record):
    """One submission as it stands when the scored phase closes."""

    submission: str  # identity; the last of the tie-breaks within a team
    team: str
    title: str = ""
    received: Instant
    models: dict[str, SlotModel]  # by slot
    reasons: tuple[str, ...] = ()  # why it is out of competition, as far as known before scoring

    @property
    def peak_memory(self) -> int | None:
        """The largest measured peak of its models in bytes; None when none was measured."""
        return max((m.peak_memory for m in self.models.values() if m.peak_memory is not None), default=None)

    @property
    def meters(self) -> tuple[str, ...]:
        """The meters by which its models' memory was measured."""
        return tuple(sorted({model.meter for model in self.models.values() if model.meter}))

    @property
    def memory(self) -> tuple[bool, int]:
        """What orders entries by memory: an unmeasured peak comes after every measured one."""
        return self.peak_memory is None, self.peak_memory or 0

    @property
    def parameters(self) -> int:
        """Parameters of all its models together."""
        return sum(model.parameters for model in self.models.values())

    @property
    def bytes(self) -> int:
        """Bytes of the weights of all its models together."""
        return sum(model.bytes for model in self.models.values())


def ineligibility(rules: Rules, entry: Entry) -> tuple[str, ...]:
    """Every reason why the entry is out of competition; empty when it is in. Exactly the memory limit is out."""
    heavy = [
        f"{slot}: peak memory of {model.peak_memory:,} bytes is not below the limit of {rules.memory_limit:,}"
        for slot, model in sorted(entry.models.items())
        if model.peak_memory is not None and model.peak_memory >= rules.memory_limit
    ]
    return (*entry.reasons, *heavy)


def without_holdouts(rules: Rules, entry: Entry) -> Entry:
    """The entry as it may be seen before the hold-outs are: no figure, protocol or remark of any."""

    def public(model: SlotModel) -> SlotModel:
        kept = {
            name: {task: value for task, value in getattr(model, name).items() if task not in rules.holdouts}
            for name in ("scores", "protocols", "marks")
        }
        notes = tuple(note for note in model.notes if note.partition(": ")[0] not in rules.holdouts)
        return model.model_copy(update={**kept, "notes": notes})

    return entry.model_copy(update={"models": {slot: public(model) for slot, model in entry.models.items()}})


def scored_tasks(rules: Rules) -> list[str]:
    """The tasks that reports score: those of the rules, with each hold-out by itself."""
    return [part for task in rules.tasks for part in (rules.holdouts if task == HOLDOUT else (task,))]


def ranked_tasks(rules: Rules, void: Collection[str] = ()) -> dict[str, int]:
    """The weight of every task that is ranked, in the order of the board, without the void ones.

    Raises:
        UnknownName: something void is not among the tasks of the rules.
    """
    for name in void:
        if name not in rules.weights and name not in rules.holdouts:
            raise UnknownName("task", name, {*rules.weights, *rules.holdouts})
    gone = {*void, *([] if _holdouts(rules, void) else [HOLDOUT])}
    return {task: weight for task, weight in rules.weights.items() if task not in gone}


def ranked_scores(rules: Rules, track: Track, entry: Entry, void: Collection[str] = ()) -> dict[str, Fraction | None]:
    """The score that is ranked on each task: percent, tokens a second for throughput, None when it is missing.

    Of a track with several models it is the mean over all of them. A model whose memory was not measured has no
    valid score. Throughput is rounded to three significant digits here, once, last.
    """
    models = [entry.models.get(slot) for slot in track.slots]
    measured = [model if model and model.peak_memory is not None else None for model in models]

    def over_models(task: str) -> Fraction | None:
        return mean_or_missing([model.scores.get(task) if model else None for model in measured])

    def ranked(task: str) -> Fraction | None:
        if task == THROUGHPUT:
            return ranked_throughput([model.throughput if model else None for model in measured])
        if task == HOLDOUT:
            return mean_or_missing([over_models(part) for part in _holdouts(rules, void)])
        return over_models(task)

    return {task: ranked(task) for task in ranked_tasks(rules, void)}


def mean_score(scores: dict[str, Fraction | None]) -> Fraction | None:
    """The unweighted mean of the ranked scores in percent, throughput left out: a figure for show, never ranked."""
    return mean_or_missing([score for task, score in scores.items() if task != THROUGHPUT])


def _holdouts(rules: Rules, void: Collection[str]) -> list[str]:
    return [part for part in rules.holdouts if part not in void]
