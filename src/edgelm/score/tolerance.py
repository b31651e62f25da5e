"""How far a rebuilt checkpoint may fall behind what was scored. Rule R10.4 of the rule set.

The tolerance is the largest of one percent point, two standard errors, and the spread of running the same prompts
twice. Squares are compared instead of roots, so that all is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from edgelm.report import FULL_MARK

POINT = 1  # percent
Weighed = tuple[Fraction, Sequence[int]]  # a weight, and marks in millionths


def variance(strata: Iterable[Weighed]) -> Fraction:
    """The variance of a weighted mean of means, in squared percent points; strata are independent.

    Of a track with three models, the weights of each model's strata are divided by three.
    """
    return sum((weight**2 * _of_mean(marks) for weight, marks in strata), Fraction(0))


def within(before: Fraction, after: Fraction, variance: Fraction, spread: Fraction = Fraction(0)) -> bool:
    """Whether a score after rebuilding is no worse than before by more than the tolerance; better is fine.

    Args:
        before: percent, as scored in stage 1.
        after: percent, as scored again.
        variance: of `before`, in squared percent points.
        spread: percent points between two runs of the same prompts.
    """
    fall = before - after
    return fall <= POINT or fall <= spread or fall**2 <= 4 * variance


def _of_mean(marks: Sequence[int]) -> Fraction:
    """The variance of the mean of marks in squared percent points; one mark alone gives 0."""
    n, total = len(marks), sum(marks)
    if n < 2:
        return Fraction(0)
    squares = n * sum(mark * mark for mark in marks) - total * total  # n times the sum of squared deviations
    return Fraction(100**2 * squares, n * n * (n - 1) * FULL_MARK**2)
