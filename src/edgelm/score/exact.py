"""Exact fractions rounded and shown: half-even, by whole-number arithmetic only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction


def total(values: Iterable[Fraction]) -> Fraction:
    """The sum, brought to lowest terms once instead of at every step."""
    values = list(values)
    common = math.lcm(*(value.denominator for value in values))
    return Fraction(sum(value.numerator * (common // value.denominator) for value in values), common)


def mean_or_missing(values: Sequence[Fraction | None]) -> Fraction | None:
    """The mean with a missing value counting 0; missing when all are."""
    present = [value for value in values if value is not None]
    return total(present) / len(values) if present else None


def round_significant(value: Fraction, digits: int = 3) -> Fraction:
    """A value of zero or more, rounded half-even to so many significant decimal digits."""
    assert value >= 0, value
    if value == 0:
        return value
    unit = Fraction(1)  # ends as the value of the first digit: unit <= value < 10 units
    while unit > value:
        unit /= 10
    while unit * 10 <= value:
        unit *= 10
    unit /= 10 ** (digits - 1)
    return round(value / unit) * unit


def decimals(value: Fraction, places: int = 2) -> str:
    """The value with so many decimals, rounded half-even: `Fraction(117, 2)` gives "58.50"."""
    scaled = round(value * 10**places)
    whole, rest = divmod(abs(scaled), 10**places)
    return f"{'-' if scaled < 0 else ''}{whole}" + (f".{rest:0{places}d}" if places else "")
