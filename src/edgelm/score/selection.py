"""Which submission stands for its team, and the totals shown for it. Rule R4 of the rule set.

`pool`: all submissions are ranked together, and a team shows its largest total. `double-pass`: the same choice, then
only the chosen are ranked again. `guaranteed`: a submission is valued in the company of every other team's best score
on each task, and the chosen are ranked again.

Only the order of scores matters, so that they are compared once: a `Competitor` holds each as its level, the number of
different lower scores on that task.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from edgelm.rules.base import HOLDOUT
from edgelm.score.entries import THROUGHPUT, Entry
from edgelm.score.exact import total
from edgelm.score.points import Placing, placing, placings

Selection = Literal["pool", "double-pass", "guaranteed"]
SELECTIONS: tuple[Selection, ...] = ("pool", "double-pass", "guaranteed")
ONLY = "only eligible submission"
_ORDER = ("larger value", "more hold-out points", "more throughput points", "lower peak memory", "earlier receipt",
          "smaller id")  # fmt: skip

Scores = Mapping[str, Fraction | None]  # by task; None is missing


@dataclass(frozen=True)
class Competitor:
    """An eligible entry with its ranked scores by task, and the levels at which they stand (None has no place)."""

    entry: Entry
    scores: Scores
    levels: Mapping[str, int | None]


@dataclass(frozen=True)
class Ranked:
    """One submission's placings by task in one company; a task without a valid score is not in it."""

    placings: Mapping[str, Placing]

    @cached_property
    def total(self) -> Fraction:
        """Points over all tasks."""
        return total(placing.points for placing in self.placings.values())

    def points(self, task: str) -> Fraction:
        """Points on one task; 0 without a place."""
        return self.placings[task].points if task in self.placings else Fraction(0)


Values = Mapping[str, Ranked]  # by submission


@dataclass(frozen=True)
class Choice:
    """The outcome of one selection rule. All but `why` are keyed by submission."""

    values: Values  # every submission, in the company in which the rule values it
    board: Values  # the representatives, as the board shows them
    why: Mapping[str, str]  # by team: what decided for the representative


def field_of(scored: Iterable[tuple[Entry, Scores]], tasks: Iterable[str], least: int = 0) -> list[Competitor]:
    """Competitors from entries with their scores; one below `least` percent has no place (throughput is no percent)."""
    scored = list(scored)
    level: dict[str, dict[Fraction | None, int]] = {}
    for task in tasks:
        floor = 0 if task == THROUGHPUT else least
        valid = {score for _, scores in scored if (score := scores[task]) is not None and score >= floor}
        level[task] = {score: number for number, score in enumerate(sorted(valid))}
    return [
        Competitor(entry, scores, {task: by_score.get(scores[task]) for task, by_score in level.items()})
        for entry, scores in scored
    ]


def choices(field: Sequence[Competitor], weights: Mapping[str, int], places: int) -> dict[Selection, Choice]:
    """What each of the three rules makes of the field."""
    together = _together(field, weights, places)
    pool, why = _representatives(field, together)
    safest = _guaranteed(field, weights, places)
    guaranteed, why_guaranteed = _representatives(field, safest)
    return {
        "pool": Choice(together, {c.entry.submission: together[c.entry.submission] for c in pool}, why),
        "double-pass": Choice(together, _together(pool, weights, places), why),
        "guaranteed": Choice(safest, _together(guaranteed, weights, places), why_guaranteed),
    }


def _together(field: Sequence[Competitor], weights: Mapping[str, int], places: int) -> dict[str, Ranked]:
    """Everyone ranked against everyone."""
    placed: dict[str, dict[str, Placing]] = {c.entry.submission: {} for c in field}
    for task, weight in weights.items():
        levels = {c.entry.submission: c.levels[task] for c in field}
        for submission, place in placings(levels, weight=weight, places=places).items():
            placed[submission][task] = place
    return {submission: Ranked(by_task) for submission, by_task in placed.items()}


def _guaranteed(field: Sequence[Competitor], weights: Mapping[str, int], places: int) -> dict[str, Ranked]:
    """Everyone ranked against the best that each other team has on each task."""
    best: dict[str, dict[str, int]] = {task: {} for task in weights}
    for competitor in field:
        for task, level in competitor.levels.items():
            if level is not None:
                team = competitor.entry.team
                best[task][team] = max(level, best[task].get(team, level))
    company = {task: sorted(by_team.values()) for task, by_team in best.items()}

    def in_company(team: str, task: str, level: int) -> Placing:
        """The place among the rivals, one's own best being taken out of the company."""
        others, own = company[task], best[task][team]
        higher, lower = bisect_right(others, level), bisect_left(others, level)
        ahead = len(others) - higher - (own > level)
        tied = higher - lower + (own != level)
        return placing(ahead, tied, weights[task], places)

    return {
        c.entry.submission: Ranked({
            task: in_company(c.entry.team, task, level) for task, level in c.levels.items() if level is not None
        })
        for c in field
    }  # fmt: skip


def _representatives(field: Sequence[Competitor], values: Values) -> tuple[list[Competitor], dict[str, str]]:
    """Each team's best submission, and by team what decided for it."""
    teams = defaultdict(list)
    for competitor in field:
        teams[competitor.entry.team].append(competitor)
    found = {team: _representative(own, values) for team, own in teams.items()}
    return [competitor for competitor, _ in found.values()], {team: why for team, (_, why) in found.items()}


def _representative(own: list[Competitor], values: Values) -> tuple[Competitor, str]:
    """A team's best submission, and the first thing that sets it above the next."""

    def order(competitor: Competitor) -> tuple[object, ...]:
        entry, value = competitor.entry, values[competitor.entry.submission]
        name = entry.submission.encode()  # bytewise
        return -value.total, -value.points(HOLDOUT), -value.points(THROUGHPUT), entry.memory, entry.received, name

    if len(own) == 1:
        return own[0], ONLY
    ordered = sorted(own, key=order)
    first, second = order(ordered[0]), order(ordered[1])
    decided = next(reason for reason, a, b in zip(_ORDER, first, second, strict=True) if a != b)
    return ordered[0], decided
