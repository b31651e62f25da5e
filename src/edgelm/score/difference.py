"""What a revision changed: the difference between two standings of one track, which is published with the later one."""

from __future__ import annotations

from edgelm.errors import BadOption
from edgelm.report import Exact
from edgelm.score.entries import Record
from edgelm.score.standings import Standings, TeamRow


class Line(Record):
    """A team's line on a board, as far as a difference tells it."""

    rank: int
    total: Exact
    submission: str


class Change(Record):
    """One team's line before and after; None where it was not on the board."""

    team: str
    before: Line | None
    after: Line | None


class Difference(Record):
    """Between two revisions: the tasks that left and came, the submissions that fell out and came back, the lines."""

    revisions: tuple[int, int]
    maximum: tuple[int, int]
    voided: tuple[str, ...]
    lifted: tuple[str, ...]
    put_out: tuple[str, ...]  # submissions
    back_in: tuple[str, ...]
    changes: tuple[Change, ...]  # by team, of those whose line differs


def difference(before: Standings, after: Standings) -> Difference:
    """What differs from one standings to another of the same track.

    Raises:
        BadOption: they are of two tracks.
    """
    if before.track != after.track:
        raise BadOption(f"{before.track} and {after.track} are two tracks", mend="compare revisions of one track")
    old, new = ({row.team: _line(row) for row in standing.board} for standing in (before, after))
    out_before, out_after = ({row.submission for row in standing.ineligible} for standing in (before, after))
    return Difference(
        revisions=(before.revision, after.revision),
        maximum=(before.maximum, after.maximum),
        voided=tuple(sorted({*after.void} - {*before.void})),
        lifted=tuple(sorted({*before.void} - {*after.void})),
        put_out=tuple(sorted(out_after - out_before)),
        back_in=tuple(sorted(out_before - out_after)),
        changes=tuple(
            Change(team=team, before=old.get(team), after=new.get(team))
            for team in sorted({*old, *new})
            if old.get(team) != new.get(team)
        ),
    )


def _line(row: TeamRow) -> Line:
    return Line(rank=row.rank, total=row.total, submission=row.submission)
