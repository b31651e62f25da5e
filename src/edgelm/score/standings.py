"""The standings of a track: one pure function of the rules and the entries. Rules R3, R7, R9 and R11.

No clock, no file, no float: every number that comes out is a whole number or an exact fraction, and equal rules and
entries give equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction

from edgelm.errors import BadOption
from edgelm.files import canonical_json, sha256_bytes
from edgelm.report import Exact
from edgelm.rules.base import HOLDOUT, Rules, Track
from edgelm.score.entries import (
    Entry,
    Record,
    Score,
    ineligibility,
    ranked_scores,
    ranked_tasks,
    without_holdouts,
)
from edgelm.score.ranks import ranked_board
from edgelm.score.selection import Choice, Competitor, Ranked, Selection, choices, field_of
from edgelm.score.states import Shown, shows_holdouts

PODIUM = 3  # ranks named in the sensitivity table


class TaskResult(Record):
    """What one submission reached on one task. A missing score has no place and earns nothing."""

    score: Score
    place: int | None
    tied: int | None  # how many share the place; 1 is alone
    points: Exact


class SubmissionRow(Record):
    """One eligible submission, in the company in which the selection rule values it."""

    submission: str
    team: str
    tasks: dict[str, TaskResult]
    value: Exact
    represents: bool


class Ineligible(Record):
    """One submission that is out of competition, and every reason why."""

    submission: str
    team: str
    reasons: tuple[str, ...]


class TeamRow(Record):
    """One line of the board: a team as its representative stands."""

    rank: int
    team: str
    submission: str
    why: str  # what set the representative above the team's other submissions
    tasks: dict[str, TaskResult]
    total: Exact


class Sensitivity(Record):
    """What the board would say under one selection rule, compared with the rule in force."""

    selection: Selection
    winners: tuple[str, ...]
    podium: tuple[str, ...]  # teams of rank 3 or better
    moved: tuple[str, ...]  # teams whose rank differs
    largest_move: int  # ranks


class Standings(Record):
    """All that is published about a track's ranking, without a time stamp."""

    rules: str
    rules_digest: str
    entries_digest: str  # of all entries, the ineligible too
    track: str
    state: Shown
    revision: int
    selection: Selection
    tasks: dict[str, int]  # weight
    void: tuple[str, ...]
    maximum: int  # points
    board_ranks: int
    board: tuple[TeamRow, ...]  # by rank, then name
    submissions: tuple[SubmissionRow, ...]  # by team, best first
    ineligible: tuple[Ineligible, ...]
    sensitivity: tuple[Sensitivity, ...]

    @property
    def shown(self) -> tuple[TeamRow, ...]:
        """The lines that the board shows: every team up to the last shown rank, its ties included."""
        return tuple(row for row in self.board if row.rank <= self.board_ranks)

    def to_bytes(self) -> bytes:
        """Canonical JSON with fractions as text ("117/2"): equal standings give equal bytes."""
        return canonical_json(self.model_dump(mode="json"))


def standings(
    rules: Rules,
    track: Track,
    entries: Iterable[Entry],
    *,
    void: Collection[str] = (),
    state: Shown = "provisional",
    revision: int = 1,
) -> Standings:
    """The standings of one track under the rule in force, with the sensitivity table of all three rules.

    Args:
        rules: what counts.
        track: which contest.
        entries: all that were received; their order does not matter.
        void: the tasks (or single hold-outs) that an organiser has taken out; nothing is rescaled.
        state: of the board. Before it is provisional, nothing of the hold-outs is in what comes out.
        revision: of the board in that state.

    Raises:
        BadOption: two entries have one id.
        UnknownName: something void is not among the tasks of the rules, or nothing is that `rank_ties` names.
    """
    entries = sorted(public(rules, entries, state), key=lambda entry: entry.submission)
    left_out = {*void} if shows_holdouts(state) or HOLDOUT not in rules.weights else {*void, HOLDOUT}
    _require_distinct(entries)
    weights = ranked_tasks(rules, left_out)
    reasons = {entry.submission: ineligibility(rules, entry) for entry in entries}
    eligible = [entry for entry in entries if not reasons[entry.submission]]
    scored = [(entry, ranked_scores(rules, track, entry, left_out)) for entry in eligible]
    field = field_of(scored, weights, rules.least_score)
    chosen = choices(field, weights, rules.places)
    boards = {selection: ranked_board(field, choice, rules.rank_ties) for selection, choice in chosen.items()}
    return Standings(
        rules=rules.name,
        rules_digest=rules.digest,
        entries_digest=sha256_bytes(entries_bytes(entries)),
        track=track.name,
        state=state,
        revision=revision,
        selection=rules.selection,
        tasks=weights,
        void=tuple(sorted(void)),
        maximum=rules.places * sum(weights.values()),
        board_ranks=rules.board_ranks,
        board=_rows(field, chosen[rules.selection], boards[rules.selection]),
        submissions=_submissions(field, chosen[rules.selection]),
        ineligible=tuple(
            Ineligible(submission=entry.submission, team=entry.team, reasons=reasons[entry.submission])
            for entry in entries
            if reasons[entry.submission]
        ),
        sensitivity=tuple(_sensitivity(name, board, boards[rules.selection]) for name, board in boards.items()),
    )


def public(rules: Rules, entries: Iterable[Entry], state: Shown) -> list[Entry]:
    """The entries as they may be seen while the board is in that state."""
    return list(entries) if shows_holdouts(state) else [without_holdouts(rules, entry) for entry in entries]


def entries_bytes(entries: Iterable[Entry]) -> bytes:
    """Entries as canonical JSON, by submission: what they are published as, and known by."""
    ordered = sorted(entries, key=lambda entry: entry.submission)
    return canonical_json([entry.model_dump(mode="json") for entry in ordered])


def _require_distinct(entries: list[Entry]) -> None:
    twice = [name for name, count in Counter(entry.submission for entry in entries).items() if count > 1]
    if twice:
        raise BadOption(f"submission {twice[0]} comes twice", mend="give every submission once")


def _results(competitor: Competitor, ranked: Ranked) -> dict[str, TaskResult]:
    def result(task: str, score: Fraction | None) -> TaskResult:
        placing = ranked.placings.get(task)
        if placing is None:
            return TaskResult(score=score, place=None, tied=None, points=Fraction(0))
        return TaskResult(score=score, place=placing.place, tied=placing.tied, points=placing.points)

    return {task: result(task, score) for task, score in competitor.scores.items()}


def _rows(field: list[Competitor], choice: Choice, rank: Mapping[str, int]) -> tuple[TeamRow, ...]:
    rows = [
        TeamRow(
            rank=rank[c.entry.team],
            team=c.entry.team,
            submission=c.entry.submission,
            why=choice.why[c.entry.team],
            tasks=_results(c, choice.board[c.entry.submission]),
            total=choice.board[c.entry.submission].total,
        )
        for c in field
        if c.entry.submission in choice.board
    ]
    return tuple(sorted(rows, key=lambda row: (row.rank, row.team)))


def _submissions(field: list[Competitor], choice: Choice) -> tuple[SubmissionRow, ...]:
    rows = [
        SubmissionRow(
            submission=c.entry.submission,
            team=c.entry.team,
            tasks=_results(c, choice.values[c.entry.submission]),
            value=choice.values[c.entry.submission].total,
            represents=c.entry.submission in choice.board,
        )
        for c in field
    ]
    return tuple(sorted(rows, key=lambda row: (row.team, not row.represents, -row.value, row.submission)))


def _sensitivity(selection: Selection, rank: Mapping[str, int], in_force: Mapping[str, int]) -> Sensitivity:
    by_rank = sorted(rank, key=lambda team: (rank[team], team))
    moves = {team: abs(own - in_force[team]) for team, own in rank.items()}
    return Sensitivity(
        selection=selection,
        winners=tuple(team for team in by_rank if rank[team] == 1),
        podium=tuple(team for team in by_rank if rank[team] <= PODIUM),
        moved=tuple(sorted(team for team, move in moves.items() if move)),
        largest_move=max(moves.values(), default=0),
    )
