"""Exact fractions rounded and shown: half-even, by whole-number arithmetic only."""

from __future__ import annotations

from fractions import Fraction


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
