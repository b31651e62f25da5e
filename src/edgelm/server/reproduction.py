"""What a team's result in stage 1 was, what was found when it was reproduced, and each condition of passing. R10.3.

What was reached before is read from the frozen entries and the evaluation: organisers enter what they found, and never
what it is held to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.checkpoint import validate
from edgelm.files import MAX_RECORD, canonical_json, parse_json, sha256_bytes
from edgelm.report import Exact
from edgelm.rules.base import Rules, Track
from edgelm.score.entries import Entry, Score, SlotModel, Whole, scored_tasks
from edgelm.score.exact import decimals, mean_or_missing
from edgelm.score.examination import Examination, TaskTwice, shortcomings
from edgelm.score.marks import Marks
from edgelm.score.tolerance import variance
from edgelm.server import boards, entries
from edgelm.server.entries import ModelResult
from edgelm.server.fields import Body, Digest
from edgelm.server.refusals import Conflict
from edgelm.server.state import Server
from edgelm.server.storage import Storage

_Slot = Annotated[str, Field(max_length=100)]


class Again(Body):
    """A task's score from the rebuilt checkpoint, in percent; the spread is between two runs of the same prompts."""

    score: Score
    spread: Exact = Fraction(0)


class Figures(Body):
    """What was found when a result was reproduced. Throughput is tokens a second over all models, peaks are bytes."""

    checkpoints: dict[_Slot, Digest] = Field(max_length=100)  # that were handed in for the examination
    agreement: Exact  # share of tokens that are the same when it is evaluated again
    self_agreement: Exact | None = None  # where organisers overrule what was recorded in stage 1
    tasks: dict[_Slot, Again] = Field(max_length=200)
    throughput: Score
    peaks: dict[_Slot, Whole] = Field(max_length=100)
    runs_on_phone: bool


class Condition(Body):
    """One condition of passing, with what was before and what was found; `said` is why it is not met."""

    name: str
    before: str
    found: str
    met: bool
    said: str


class Reached(NamedTuple):
    """What a submission reached in stage 1."""

    checkpoints: dict[str, str]  # digests, by slot
    tasks: dict[str, tuple[Fraction, Fraction]]  # score in percent, and its variance in squared percent points
    throughput: Fraction | None  # unrounded
    self_agreement: Fraction  # share of tokens that came out again at once


def reached(session: Session, server: Server, rules: Rules, track: str, submission_id: str) -> Reached:
    """What the frozen board has of a submission.

    Raises:
        Conflict: it is not on that board.
    """
    row = boards.revision(session, server, track).row
    received = {entry.submission: entry for entry in boards.entries_of(server.storage, row.entries)}
    entry = received.get(submission_id)
    job = entries.evaluation_of(session, server, entry) if entry else None
    if entry is None or job is None or job.result is None:
        raise Conflict(f"submission {submission_id} is not on the board of {track}")
    named = entries.result_of(server.storage, job.result).models
    checkpoints = {slot: entries.report_of(server.storage, model.report).checkpoint for slot, model in named.items()}
    void = boards.board_of(server.storage, row).void
    return _reached(server.storage, rules, rules.track(track), entry, void, checkpoints, _repeated(named.values()))


def conditions(rules: Rules, track: Track, before: Reached, figures: Figures) -> list[Condition]:
    """All conditions, in the order of the rule; a team passes when each is met."""
    seen = Examination(
        pinned=_one(before.checkpoints), received=_one(figures.checkpoints), agreement=figures.agreement,
        self_agreement=before.self_agreement if figures.self_agreement is None else figures.self_agreement,
        tasks={task: TaskTwice(before=before.tasks[task][0], after=again.score, variance=before.tasks[task][1],
                               spread=again.spread) for task, again in figures.tasks.items() if task in before.tasks},
        throughput=(before.throughput or Fraction(0), figures.throughput), peaks=figures.peaks,
        runs_on_phone=figures.runs_on_phone,
    )  # fmt: skip
    slots = [slot for slot in track.slots if slot in before.checkpoints]
    said = shortcomings(rules, seen, tasks=list(before.tasks), slots=slots)
    rows = [("checkpoint", f"{seen.pinned[:12]}…", f"{seen.received[:12]}…"),
            ("agreement", decimals(seen.self_agreement), decimals(seen.agreement))]  # fmt: skip
    for task, (score, _) in sorted(before.tasks.items()):
        rows.append((task, decimals(score), _shown(figures.tasks[task].score if task in figures.tasks else None)))
    rows.append(("throughput", _shown(before.throughput), _shown(figures.throughput)))
    for slot in sorted({*slots, *figures.peaks}):
        peak = figures.peaks.get(slot)
        rows.append((f"memory: {slot}", f"below {rules.memory_limit:,}", "–" if peak is None else f"{peak:,}"))
    rows.append(("bundle", "runs on a phone", "yes" if seen.runs_on_phone else "no"))
    return [_condition(*row, said) for row in rows]


def _condition(name: str, before: str, found: str, said: tuple[str, ...]) -> Condition:
    own = [line for line in said if line.startswith((f"{name}:", f"{name} "))]
    return Condition(name=name, before=before, found=found, met=not own, said="; ".join(own))


def _reached(
    storage: Storage, rules: Rules, track: Track, entry: Entry, void: tuple[str, ...], checkpoints: dict[str, str],
    repeated: Fraction,
) -> Reached:  # fmt: skip
    models = [entry.models.get(slot) for slot in track.slots]
    tasks = {}
    for task in scored_tasks(rules):
        score = mean_or_missing([model.scores.get(task) if model else None for model in models])
        if score is not None and task not in void:
            spread = sum((_variance(storage, model, task) for model in models if model), Fraction(0))
            tasks[task] = (score, spread / len(models) ** 2)
    throughput = mean_or_missing([model.throughput if model else None for model in models])
    return Reached(checkpoints, tasks, throughput, repeated)


def _repeated(models: Collection[ModelResult]) -> Fraction:
    """The share of tokens, of all models together, that came out again; all of them where none was asked twice."""
    known = [model.agreement for model in models if model.agreement]
    tokens = sum(each.tokens for each in known)
    return Fraction(sum(each.same_tokens for each in known), tokens) if tokens else Fraction(1)


def _variance(storage: Storage, model: SlotModel, task: str) -> Fraction:
    """The variance of a model's score; none is known of a task whose marks are not kept, which makes it stricter."""
    if task not in model.marks:
        return Fraction(0)
    marks = validate(Marks, parse_json(storage.read(model.marks[task], MAX_RECORD), "marks"), "marks")
    return variance((stratum.weight, stratum.marks) for stratum in marks.strata.values())


def _one(checkpoints: Mapping[str, str]) -> str:
    """One digest for the checkpoints of all slots."""
    if len(checkpoints) == 1:
        return next(iter(checkpoints.values()))
    return sha256_bytes(canonical_json(dict(checkpoints)))


def _shown(value: Fraction | None) -> str:
    return "–" if value is None else decimals(value)
