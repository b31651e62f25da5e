"""Stage 2: whole rank groups are invited to prove their result, until enough have passed. Rule R10 of the rule set.

    waiting ─▶ invited ─▶ received ─▶ running ─▶ passed, failed
                  └────────┴───────────┴──────▶ withdrawn, timed-out

Anybody may be disqualified at any time, after passing too. The order of the final board never changes: places of awards
follow it, and a team that fails stays in it without an award.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import Literal

from edgelm.errors import BadOption, UnknownName, Unsupported
from edgelm.rules.base import Rules
from edgelm.score.entries import Record
from edgelm.score.ranks import ranks
from edgelm.score.standings import Standings

Progress = Literal["waiting", "invited", "received", "running",
                   "passed", "failed", "withdrawn", "timed-out", "disqualified"]  # fmt: skip
OPEN: tuple[Progress, ...] = ("invited", "received", "running")
MOVES: dict[Progress, tuple[Progress, ...]] = {
    "waiting": ("disqualified",),
    "invited": ("received", "withdrawn", "timed-out", "disqualified"),
    "received": ("running", "withdrawn", "timed-out", "disqualified"),
    "running": ("passed", "failed", "withdrawn", "timed-out", "disqualified"),
    **dict.fromkeys(("passed", "failed", "withdrawn", "timed-out"), ("disqualified",)),
    "disqualified": (),
}


class Candidate(Record):
    """A submission in the frozen order, and how far its team has come with it."""

    team: str
    submission: str
    rank: int
    progress: Progress = "waiting"


class Stage2(Record):
    """All candidates by rank, then name."""

    seats: int
    candidates: tuple[Candidate, ...]

    def among(self, *progress: Progress) -> list[Candidate]:
        """The candidates that have come so far, in the frozen order."""
        return [each for each in self.candidates if each.progress in progress]


class Award(Record):
    """The place of a team that passed; equal ranks share it."""

    place: int
    team: str


def begin(rules: Rules, final: Standings) -> Stage2:
    """Stage 2 of a final board, with every team of rank `rules.seats` or better invited.

    Raises:
        Unsupported: the board is not final.
    """
    if final.state != "final":
        raise Unsupported(f"the board is {final.state}", mend="sign the final board first")
    rows = [(row.team, row.submission, row.rank) for row in final.board]
    if rules.moves_to == "submission":
        rank = ranks({row.submission: row.value for row in final.submissions})
        rows = [(row.team, row.submission, rank[row.submission]) for row in final.submissions]
    return invited(rules.seats, [Candidate(team=team, submission=name, rank=rank) for team, name, rank in rows])


def invited(seats: int, candidates: Iterable[Candidate]) -> Stage2:
    """The stage with as many whole rank groups invited as the seats ask for.

    Raises:
        BadOption: there are no seats.
    """
    if seats < 1:
        raise BadOption(f"{seats} seats", mend="give at least one")
    ordered = sorted(candidates, key=lambda each: (each.rank, each.team, each.submission))
    return _filled(Stage2(seats=seats, candidates=tuple(ordered)))


def moved(stage: Stage2, submission: str, to: Progress) -> Stage2:
    """The stage after a candidate has come further, with the next groups invited if that leaves seats empty.

    Raises:
        UnknownName: there is no such candidate.
        Unsupported: nothing leads there from where it is.
    """
    by_name = {each.submission: each for each in stage.candidates}
    if submission not in by_name:
        raise UnknownName("candidate", submission, by_name)
    candidate = by_name[submission]
    if to not in MOVES[candidate.progress]:
        onward = ", ".join(MOVES[candidate.progress]) or "nothing"
        raise Unsupported(f"{candidate.team} is {candidate.progress}, not {to}", mend=f"what may follow: {onward}")
    return _filled(_with(stage, {submission: to}))


def awards(stage: Stage2) -> list[Award]:
    """Those that passed, in the frozen order; shared ranks share a place."""
    passed = stage.among("passed")
    place = _places(passed)
    return [Award(place=place[each.team], team=each.team) for each in passed]


def further_awards(stage: Stage2, teams: Collection[str], seats: int = 1) -> list[Award]:
    """An extra award (to student teams, say) in the same order: the first whole groups of those teams without one.

    Who was put out, failed, withdrew or ran out of time has none; who was never examined may have one.
    """
    ended = {each.team for each in stage.candidates if each.progress not in ("waiting", *OPEN)}
    best: dict[str, Candidate] = {}  # of each team: where submissions move up, one may have several
    for each in stage.candidates:
        if each.team in teams and each.team not in ended:
            best.setdefault(each.team, each)
    place = _places(best.values())
    return [Award(place=place[team], team=team) for team in best if place[team] <= seats]


def _places(candidates: Iterable[Candidate]) -> dict[str, int]:
    """Places among these alone, by the order of their ranks."""
    return ranks({each.team: Fraction(-each.rank) for each in candidates})


def _filled(stage: Stage2) -> Stage2:
    """Invite the next whole group while passed and open candidates are fewer than the seats."""
    while len(stage.among("passed", *OPEN)) < stage.seats:
        settled = {each.team for each in stage.among("passed", *OPEN, "disqualified")}
        waiting = [each for each in stage.among("waiting") if each.team not in settled]
        if not waiting:
            break
        group = [each for each in waiting if each.rank == waiting[0].rank]
        first = {each.team: each.submission for each in reversed(group)}  # of a team's equals, one
        stage = _with(stage, dict.fromkeys(first.values(), "invited"))
    return stage


def _with(stage: Stage2, progress: dict[str, Progress]) -> Stage2:
    changed = (
        each.model_copy(update={"progress": progress.get(each.submission, each.progress)}) for each in stage.candidates
    )
    return stage.model_copy(update={"candidates": tuple(changed)})
