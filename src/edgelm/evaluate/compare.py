"""Two reports sample by sample: by how much the scores differ, how sure that is, and which answers changed.

Only answers to the same questions under the same protocol are held against each other, row by row. That takes the
difficulty of the rows out of the comparison: the interval is far narrower than the two scores' own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from edgelm.errors import MissingInput, UnknownName, Unsupported
from edgelm.evaluate.facts import fact
from edgelm.evaluate.intervals import Interval, Weights, Z, by_subset, equal_rows, spread, weightings, worst_rows
from edgelm.evaluate.order import in_order
from edgelm.report import FULL_MARK, Answer, Report, TaskScore, read_answers

Pair = tuple[Answer, Answer]  # the answers of A and of B to one question


@dataclass(frozen=True)
class Difference:
    """One task in two reports. Differences are B − A, in percentage points over the rows that both marked."""

    task: str
    a: TaskScore
    b: TaskScore
    rows: int
    difference: float
    interval: Interval
    p: float  # of the exact sign test on the rows whose mark changed
    lost: list[Pair]  # rows where B earns less, the largest loss first
    gained: list[Pair]
    notes: list[str]


def compare(a: Path, b: Path, tasks: Sequence[str] = ()) -> list[Difference]:
    """The differences of two report folders in the named tasks, or in all that both have.

    Raises:
        MissingInput: a folder holds no finished report or no answers; the reports share no task.
        UnknownName: a named task is not in both.
        Unsupported: a task was asked or marked by different protocols.
    """
    left, right = Report.load(a), Report.load(b)
    shared = in_order(task for task in left.tasks if task in right.tasks)
    for task in tasks:
        if task not in shared:
            raise UnknownName("task in both reports", task, shared)
    if not shared:
        why = f"{a}: {', '.join(left.tasks) or 'none'}; {b}: {', '.join(right.tasks) or 'none'}"
        raise MissingInput("the reports have no task in common", why=why, mend="evaluate both on the same tasks")
    chosen = list(tasks) or shared
    _require_same_protocols(chosen, left, right)
    return [_difference(task, left.tasks[task], right.tasks[task], read_answers(a, task), read_answers(b, task))
            for task in chosen]  # fmt: skip


def only_in(report: Report, other: Report) -> list[str]:
    """The tasks that the other report lacks, which nothing is held against."""
    return in_order(report.tasks.keys() - other.tasks.keys())


def noted(differences: Iterable[Difference]) -> dict[str, list[str]]:
    """What must be said beside the differences: each note once, with its tasks."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in differences:
        for text in each.notes:
            found[text].append(each.task)
    return found


def _require_same_protocols(tasks: Sequence[str], left: Report, right: Report) -> None:
    same = [task for task in tasks if left.tasks[task].protocol == right.tasks[task].protocol]
    for task in tasks:
        if task not in same:
            raise Unsupported(
                f"{task} was not asked and marked alike in the two reports",
                why=f"{left.tasks[task].protocol} and {right.tasks[task].protocol}",
                mend="evaluate both by one protocol" + (f", or give --task {same[0]}" if same else ""),
            )


def _difference(task: str, a: TaskScore, b: TaskScore, left: list[Answer], right: list[Answer]) -> Difference:
    by_sample = {answer.sample: answer for answer in right}
    pairs = [(answer, by_sample[answer.sample]) for answer in left if answer.sample in by_sample]
    marked = [pair for pair in pairs if pair[0].mark is not None and pair[1].mark is not None]
    if not marked:
        raise MissingInput(f"the reports share no marked answer of {task}", mend="evaluate both on the same rows")
    gains: dict[str | None, list[float]] = defaultdict(list)
    for pair in marked:
        gains[pair[0].subset].append(_gain(pair))
    of_both = [rule for rule in weightings(a.score, by_subset(left)) if rule in weightings(b.score, by_subset(right))]
    rule = of_both[0] if of_both else equal_rows
    weights = rule({subset: len(own) for subset, own in gains.items()})
    lost = sorted((pair for pair in marked if _gain(pair) < 0), key=_gain)
    gained = sorted((pair for pair in marked if _gain(pair) > 0), key=_gain, reverse=True)
    notes = list(_notes(a, b, pairs, marked))
    if not of_both:
        notes.append("every row weighs the same here, which is not how both scores were made")
    difference = math.fsum(float(weights[subset]) * math.fsum(own) / len(own) for subset, own in gains.items())
    return Difference(
        task, a, b, len(marked), 100 * difference, _paired(difference, weights, gains),
        sign_test(len(lost), len(gained)), lost, gained, notes,
    )  # fmt: skip


def _gain(pair: Pair) -> float:
    """What B's answer earns more than A's, of 1."""
    before, after = pair
    return ((after.mark or 0) - (before.mark or 0)) / FULL_MARK


def _paired(difference: float, weights: Weights, gains: Mapping[str | None, Sequence[float]]) -> Interval:
    """The 95 % interval of a weighted mean of paired gains, in percentage points.

    To their variance that of one more row is added, half a gain and half a loss (Agresti and Min 2005): where few or no
    answers changed, the rows seen would otherwise promise too much.
    """
    rows = worst_rows(weights, {subset: len(own) for subset, own in gains.items()})
    variance = spread(weights, gains)
    if variance is None:  # too few rows: no less certain than if their mean were nought
        squares = math.fsum(gain * gain for own in gains.values() for gain in own)
        variance = squares / sum(map(len, gains.values())) / rows
    half = Z * math.sqrt(variance + 1 / rows**2)
    return Interval(100 * max(-1.0, difference - half), 100 * min(1.0, difference + half))


def sign_test(lost: int, gained: int) -> float:
    """The two-sided exact chance of changes at least as one-sided as these, if each were as likely either way.

    For answers that are right or wrong this is McNemar's exact test.
    """
    changed, fewer = lost + gained, min(lost, gained)
    tail, ways = 0, 1
    for count in range(fewer + 1):
        tail += ways
        ways = ways * (changed - count) // (count + 1)
    return min(1.0, float(Fraction(2 * tail, 2**changed)))


def _notes(a: TaskScore, b: TaskScore, pairs: list[Pair], marked: list[Pair]) -> Iterator[str]:
    if a.engine != b.engine:
        yield f"the engines differ: {_settings(a.engine, b.engine)} and {_settings(b.engine, a.engine)}"
    if a.prompting != b.prompting:
        yield f"asked as {a.prompting} and as {b.prompting}"
    if a.conditions != b.conditions:
        yield (
            f"marked under other conditions: {_settings(a.conditions, b.conditions)} and "
            f"{_settings(b.conditions, a.conditions)}"
        )
    if len(pairs) < max(a.samples, b.samples):
        yield f"only the {len(pairs)} rows that both were asked are held against each other"
    if len(marked) < len(pairs):
        yield f"{len(pairs) - len(marked)} rows have no mark in one report and are left out"


def _settings(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The settings that are not the other's."""
    return (
        ", ".join(f"{name} {fact(name, value)}" for name, value in own.items() if other.get(name) != value)
        or "nothing more"
    )
