"""Places and the points they earn on one task. Rules R5 and R6 of the rule set.

The scale is absolute: of `places` = 10, place p earns 11 − p whatever the size of the field. Equal scores share the
mean of the places that they occupy together.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Placing:
    """A place, how many hold it (1: alone), and what it earns."""

    place: int
    tied: int
    points: Fraction


def placing(score: Fraction, company: Sequence[Fraction], *, weight: int, places: int) -> Placing:
    """The place of a score in a company in ascending order, which holds that score too."""
    end = bisect_right(company, score)
    tied = end - bisect_left(company, score)
    place = len(company) - end + 1
    earned = sum(max(0, places + 1 - p) for p in range(place, place + tied))
    return Placing(place, tied, Fraction(weight * earned, tied))


def placings(scores: Mapping[str, Fraction | None], *, weight: int, places: int) -> dict[str, Placing]:
    """The placing of everyone with a score; a missing score has none and so earns nothing."""
    valid = {name: score for name, score in scores.items() if score is not None}
    company = sorted(valid.values())
    return {name: placing(score, company, weight=weight, places=places) for name, score in valid.items()}
