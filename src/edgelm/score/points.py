"""Places and the points they earn on one task. Rules R5 and R6 of the rule set.

The scale is absolute: of `places` = 10, place p earns 11 − p whatever the size of the field. Equal scores share the
mean of the places that they occupy together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache


@dataclass(frozen=True)
class Placing:
    """A place, how many hold it (1: alone), and what it earns."""

    place: int
    tied: int
    points: Fraction


@cache
def placing(ahead: int, tied: int, weight: int, places: int) -> Placing:
    """The place behind so many, held by `tied`, and the mean of what the places from there on earn."""
    paid = min(tied, max(0, places - ahead))  # those of the shared places that earn anything
    earned = paid * (places - ahead) - paid * (paid - 1) // 2
    return Placing(ahead + 1, tied, Fraction(weight * earned, tied))


def placings(levels: Mapping[str, int | Fraction | None], *, weight: int, places: int) -> dict[str, Placing]:
    """The placing of everyone with a score (or anything in its order); a missing one has none and so earns nothing."""
    holders = Counter(level for level in levels.values() if level is not None)
    placed, ahead = {}, 0
    for level in sorted(holders, reverse=True):
        placed[level] = placing(ahead, holders[level], weight, places)
        ahead += holders[level]
    return {name: placed[level] for name, level in levels.items() if level is not None}
