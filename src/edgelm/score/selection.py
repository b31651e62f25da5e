"""Which submission stands for its team, and the totals shown for it. Rule R4 of the rule set.

`pool`: all submissions are ranked together, and a team shows its largest total. `double-pass`: the same choice, then
only the chosen are ranked again. `guaranteed`: a submission is valued in the company of every other team's best score
on each task, and the chosen are ranked again.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from edgelm.rules.base import HOLDOUT
from edgelm.score.entries import THROUGHPUT, Entry
from edgelm.score.points import Placing, placing, placings

Selection = Literal["pool", "double-pass", "guaranteed"]
SELECTIONS: tuple[Selection, ...] = ("pool", "double-pass", "guaranteed")
ONLY = "only eligible submission"
_ORDER = ("larger value", "more hold-out points", "more throughput points", "lower peak memory", "earlier receipt",
          "smaller id")  # fmt: skip


@dataclass(frozen=True)
class Competitor:
    """An eligible entry with its ranked scores by task (None is missing)."""

    entry: Entry
    scores: Mapping[str, Fraction | None]


@dataclass(frozen=True)
class Ranked:
    """One submission's placings by task in one company; a task without a valid score is not in it."""

    placings: Mapping[str, Placing]

    @property
    def total(self) -> Fraction:
        """Points over all tasks."""
        return sum((placing.points for placing in self.placings.values()), Fraction(0))

    def points(self, task: str) -> Fraction:
        """Points on one task; 0 without a place."""
        return self.placings[task].points if task in self.placings else Fraction(0)


@dataclass(frozen=True)
class Choice:
    """The outcome of one selection rule. All but `why` are keyed by submission."""

    values: Mapping[str, Ranked]  # every submission, in the company in which the rule values it
    board: Mapping[str, Ranked]  # the representatives, as the board shows them
    why: Mapping[str, str]  # by team: what decided for the representative


def choose(field: Iterable[Competitor], weights: Mapping[str, int], places: int, selection: Selection) -> Choice:
    """Value every submission, choose each team's representative and rank for the board."""
    field = list(field)
    value = _guaranteed if selection == "guaranteed" else _together
    values = value(field, weights, places)
    teams = defaultdict(list)
    for competitor in field:
        teams[competitor.entry.team].append(competitor)
    chosen, why = [], {}
    for team, own in teams.items():
        representative, why[team] = _representative(own, values)
        chosen.append(representative)
    if selection == "pool":
        board: Mapping[str, Ranked] = {c.entry.submission: values[c.entry.submission] for c in chosen}
    else:
        board = _together(chosen, weights, places)
    return Choice(values, board, why)


def _together(field: list[Competitor], weights: Mapping[str, int], places: int) -> dict[str, Ranked]:
    """Everyone ranked against everyone."""
    placed: dict[str, dict[str, Placing]] = {c.entry.submission: {} for c in field}
    for task, weight in weights.items():
        scores = {c.entry.submission: c.scores[task] for c in field}
        for submission, place in placings(scores, weight=weight, places=places).items():
            placed[submission][task] = place
    return {submission: Ranked(by_task) for submission, by_task in placed.items()}


def _guaranteed(field: list[Competitor], weights: Mapping[str, int], places: int) -> dict[str, Ranked]:
    """Everyone ranked against the best that each other team has on each task."""
    best: dict[str, dict[str, Fraction]] = {task: {} for task in weights}
    for competitor in field:
        for task, score in competitor.scores.items():
            if score is not None:
                team = competitor.entry.team
                best[task][team] = max(score, best[task].get(team, score))

    def in_company(competitor: Competitor, task: str, score: Fraction) -> Placing:
        company = sorted(rival for team, rival in best[task].items() if team != competitor.entry.team)
        insort(company, score)
        return placing(score, company, weight=weights[task], places=places)

    return {
        c.entry.submission: Ranked({t: in_company(c, t, score) for t, score in c.scores.items() if score is not None})
        for c in field
    }


def _representative(own: list[Competitor], values: Mapping[str, Ranked]) -> tuple[Competitor, str]:
    """A team's best submission, and the first thing that sets it above the next."""

    def order(competitor: Competitor) -> tuple[object, ...]:
        entry, value = competitor.entry, values[competitor.entry.submission]
        peak = entry.peak_memory
        memory = (peak is None, peak or 0)  # an unmeasured peak comes after every measured one
        return -value.total, -value.points(HOLDOUT), -value.points(THROUGHPUT), memory, entry.received, entry.submission

    ordered = sorted(own, key=order)
    if len(ordered) == 1:
        return ordered[0], ONLY
    first, second = order(ordered[0]), order(ordered[1])
    decided = next(reason for reason, a, b in zip(_ORDER, first, second, strict=True) if a != b)
    return ordered[0], decided
