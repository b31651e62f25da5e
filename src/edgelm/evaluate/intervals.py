"""95 % confidence intervals of scores, made from the marks of the answers.

A score is a weighted mean over the task's subsets: w₁·mean₁ + w₂·mean₂ + …, where the weights are equal rows, equal
subsets, or LongBench's equal categories. Which of them a report's score follows is not asked of the task, which may be
another's plug-in: it is the one that gives the score exactly. If none does, there is no interval.

One formula serves all. Wilson's interval is taken for the number of plain 0/1 rows that would be as uncertain as these
marks: n = p(1−p)/V with the stratified variance V = Σ w²s²/n (Korn and Graubard 1998). For 0/1 marks without subsets
that is Wilson's interval itself; it never leaves 0 to 100 and does not vanish at either end, where a bootstrap would.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from edgelm.evaluate.opencompass_names import LONGBENCH_CATEGORIES
from edgelm.report import FULL_MARK, Answer, TaskScore

Z = 1.959964  # the normal deviate that leaves 2.5 % above it
FREEDOM = 20  # rows beyond one a subset, from which on their spread is believed
Marks = Mapping[str | None, Sequence[int]]  # millionths, by subset
Weights = Mapping[str | None, Fraction]  # of each subset's mean; they add to 1
Rule = Callable[[Mapping[str | None, int]], Weights]  # from the number of rows of each subset


class Interval(NamedTuple):
    """From and to, in percent (or percentage points)."""

    low: float
    high: float


def interval(score: TaskScore, answers: Iterable[Answer]) -> Interval | None:
    """The 95 % interval of a task's score; None if its marks do not give the score by any weighting known here."""
    marks = by_subset(answers)
    rules = weightings(score.score, marks)
    if not rules:
        return None
    p = float(score.score) / 100
    return _wilson(p, _equal_rows(p, marks, rules[0](_sizes(marks))))


def by_subset(answers: Iterable[Answer]) -> dict[str | None, list[int]]:
    """The marks that count, by subset."""
    marks: dict[str | None, list[int]] = defaultdict(list)
    for answer in answers:
        if answer.mark is not None:
            marks[answer.subset].append(answer.mark)
    return dict(marks)


def weightings(score: Fraction, marks: Marks) -> list[Rule]:
    """How the subsets may be weighed: the rules under which the marks give exactly this score."""
    means = {subset: Fraction(sum(own) * 100, len(own) * FULL_MARK) for subset, own in marks.items()}
    rules = (equal_rows, _equal_subsets, _equal_categories)
    weights = [(rule, rule(_sizes(marks))) for rule in rules] if marks else []
    return [rule for rule, own in weights if own and sum(own[name] * mean for name, mean in means.items()) == score]


def _sizes(marks: Marks) -> dict[str | None, int]:
    return {subset: len(own) for subset, own in marks.items()}


def equal_rows(sizes: Mapping[str | None, int]) -> Weights:
    """Every row weighs the same."""
    return {subset: Fraction(size, sum(sizes.values())) for subset, size in sizes.items()}


def _equal_subsets(sizes: Mapping[str | None, int]) -> Weights:
    return {subset: Fraction(1, len(sizes)) for subset in sizes}


def _equal_categories(sizes: Mapping[str | None, int]) -> Weights:
    """LongBench's: the categories weigh the same, and within each the subsets. Nothing if a subset is in none."""
    present = [[name for name in category if name in sizes] for category in LONGBENCH_CATEGORIES.values()]
    present = [category for category in present if category]
    weights: dict[str | None, Fraction] = {
        name: Fraction(1, len(present) * len(category)) for category in present for name in category
    }
    return weights if weights.keys() == sizes.keys() else {}


def spread(weights: Weights, values: Mapping[str | None, Sequence[float]]) -> float | None:
    """The variance of the weighted mean of values, each subset a stratum; None where too few rows tell it."""
    if min(map(len, values.values())) < 2 or sum(len(own) - 1 for own in values.values()) < FREEDOM:
        return None
    total = 0.0
    for subset, own in values.items():
        mean = math.fsum(own) / len(own)
        variance = math.fsum((value - mean) ** 2 for value in own) / (len(own) - 1)
        total += float(weights[subset]) ** 2 * variance / len(own)
    return total


def worst_rows(weights: Weights, sizes: Mapping[str | None, int]) -> float:
    """The number of equal rows if every row were as uncertain as a mark can be: 1/Σ(w²/n)."""
    return 1 / math.fsum(float(weights[subset]) ** 2 / size for subset, size in sizes.items())


def _equal_rows(p: float, marks: Marks, weights: Weights) -> float:
    """The number of plain 0/1 rows whose mean would be as uncertain as this score."""
    worst = worst_rows(weights, _sizes(marks))
    plain = len(marks) == 1 and all(mark in (0, FULL_MARK) for own in marks.values() for mark in own)
    if plain:
        return worst
    values = {subset: [mark / FULL_MARK for mark in own] for subset, own in marks.items()}
    variance = spread(weights, values)
    if not variance:  # few rows, or marks all alike, do not tell how far they spread
        return worst
    return p * (1 - p) / variance


def _wilson(p: float, n: float) -> Interval:
    """Wilson's score interval for a share p of n rows, in percent."""
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Interval(100 * max(0.0, min(p, middle - half)), 100 * min(1.0, max(p, middle + half)))
