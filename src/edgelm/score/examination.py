"""Whether a team passes stage 2: every condition, and what is said of each that is not met. Rule R10.3."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

from pydantic import Field

from edgelm.errors import BadOption
from edgelm.report import Exact
from edgelm.rules.base import Rules
from edgelm.score.entries import Record, Whole
from edgelm.score.exact import decimals
from edgelm.score.tolerance import within

KEPT = Fraction(49, 50)  # of the unrounded throughput of stage 1


class TaskTwice(Record):
    """A task's score in stage 1 and from the rebuilt checkpoint, with what the tolerance is made of."""

    before: Exact  # percent
    after: Exact | None  # None: it could not be scored
    variance: Exact = Fraction(0)  # of `before`, squared percent points
    spread: Exact = Fraction(0)  # percent points between two runs of the same prompts


class Examination(Record):
    """What was found when a team's result was reproduced."""

    pinned: str = Field(min_length=1)  # digest of the checkpoint that was scored
    received: str  # of the one that was handed in for the examination
    agreement: Exact  # share of tokens that are the same when it is evaluated again
    self_agreement: Exact  # as recorded in stage 1
    tasks: Mapping[str, TaskTwice]
    throughput: tuple[Exact, Exact | None]  # in stage 1 and now, unrounded; None: it could not be measured
    peaks: Mapping[str, Whole]  # bytes, by slot
    runs_on_phone: bool  # the bundle, on one of 12 GB


def shortcomings(rules: Rules, seen: Examination, *, tasks: Collection[str], slots: Collection[str]) -> tuple[str, ...]:
    """Every condition that is not met; a team passes when there is none.

    Args:
        rules: with the memory limit.
        seen: what was found.
        tasks: all that must be scored again: those with a score in stage 1.
        slots: all whose memory must be measured: those of the track.

    Raises:
        BadOption: nothing is to be reproduced.
    """
    if not tasks or not slots:
        raise BadOption("an examination of nothing", mend="name the tasks and slots that stage 1 scored")
    return tuple(_shortcomings(rules, seen, tasks, slots))


def _shortcomings(rules: Rules, seen: Examination, tasks: Collection[str], slots: Collection[str]) -> Iterator[str]:
    if seen.received != seen.pinned:
        yield f"checkpoint: {seen.received[:12]}… was received, {seen.pinned[:12]}… is pinned"
    if seen.agreement < seen.self_agreement:
        yield f"agreement: {_percent(seen.agreement)} of tokens, recorded were {_percent(seen.self_agreement)}"
    yield from (f"{task}: it was not scored again" for task in sorted({*tasks} - {*seen.tasks}))
    for task, twice in sorted(seen.tasks.items()):
        if twice.after is None:
            yield f"{task}: the rebuilt checkpoint has no score"
        elif not within(twice.before, twice.after, twice.variance, twice.spread):
            yield f"{task}: {decimals(twice.after)} after {decimals(twice.before)}, below the tolerance"
    before, now = seen.throughput
    if now is None or now < KEPT * before:
        yield f"throughput: {'none' if now is None else decimals(now)} after {decimals(before)} tokens/s"
    yield from (f"memory: {slot} was not measured" for slot in sorted({*slots} - {*seen.peaks}))
    for slot, peak in sorted(seen.peaks.items()):
        if peak >= rules.memory_limit:
            yield f"memory: {slot} peaks at {peak:,} bytes, which is not below {rules.memory_limit:,}"
    if not seen.runs_on_phone:
        yield "bundle: it does not run on a phone of 12 GB"


def _percent(share: Fraction) -> str:
    return f"{decimals(100 * share)} %"
