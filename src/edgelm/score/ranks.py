"""Ranks by total: equals share, and the next rank is skipped, unless the rules name what separates them. Rule R8."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from edgelm.errors import UnknownName
from edgelm.rules.base import HOLDOUT
from edgelm.score.entries import THROUGHPUT
from edgelm.score.selection import Choice, Competitor, Ranked

# What may separate equal totals; the smaller value stands first.
Separator = Callable[[Competitor, Ranked], Any]
SEPARATORS: dict[str, Separator] = {
    "holdout": lambda competitor, ranked: -ranked.points(HOLDOUT),
    "throughput": lambda competitor, ranked: -ranked.points(THROUGHPUT),
    "won": lambda competitor, ranked: -sum(p.place == p.tied == 1 for p in ranked.placings.values()),
    "memory": lambda competitor, ranked: competitor.entry.memory,
    "receipt": lambda competitor, ranked: competitor.entry.received,
}


def ranks(totals: Mapping[str, Fraction]) -> dict[str, int]:
    """The rank of each: one more than the number with a strictly larger total, so that equals share and then skip."""
    ordered = sorted(-total for total in totals.values())
    return {name: 1 + bisect_left(ordered, -total) for name, total in totals.items()}


def ranked_board(field: Sequence[Competitor], choice: Choice, chain: Sequence[str] = ()) -> dict[str, int]:
    """The rank of every team on the board; `chain` names what separates equal totals, in turn.

    Raises:
        UnknownName: the chain names something else than `SEPARATORS`.
    """
    for name in chain:
        if name not in SEPARATORS:
            raise UnknownName("separator of equal totals", name, SEPARATORS)
    keys = {}
    for competitor in field:
        if ranked := choice.board.get(competitor.entry.submission):
            later = [SEPARATORS[name](competitor, ranked) for name in chain]
            keys[competitor.entry.team] = (-ranked.total, *later)
    ordered = sorted(keys.values())
    return {team: 1 + bisect_left(ordered, key) for team, key in keys.items()}
