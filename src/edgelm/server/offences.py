"""Who is out of competition by an offence: whom it would put out, and which decisions put a submission out now.

Rules R3.1, R3.2 and R3.5: the kind of offence says whether it puts out one submission or its whole team.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.score.disqualification import OF_SUBMISSION, Disqualification
from edgelm.server import boards, entries
from edgelm.server.records import SCORED
from edgelm.server.states import ENDED
from edgelm.server.storage import Storage
from edgelm.server.tables import Decision, Phase, Submission

KINDS = ("disqualify", "confirm-review")  # of decisions that put out
_NEVER_RANKED = tuple(state for state in ENDED if state != SCORED)


class Scope(NamedTuple):
    """Whom an offence puts out of competition."""

    team: str  # name
    whole_team: bool
    submissions: list[Submission]  # on the board of the track, or on their way to it
    elsewhere: list[Submission]  # of the team in other tracks, whose boards need decisions of their own


class Standing(NamedTuple):
    """A decision that puts a submission out of competition now."""

    decision: str  # id
    offence: str
    evidence: str
    whole_team: bool


def scope(session: Session, submission: Submission, offence: str) -> Scope:
    """Whom an offence puts out that was found in that submission."""
    whole_team = offence not in OF_SUBMISSION
    concerned = Submission.team_id == submission.team_id if whole_team else Submission.id == submission.id
    rows = session.scalars(select(Submission).where(concerned).order_by(Submission.received, Submission.id))
    found = [each for each in rows if _counts(session, each)]
    return Scope(
        submission.team.name, whole_team, [each for each in found if each.track == submission.track],
        [each for each in found if each.track != submission.track],
    )  # fmt: skip


def standing(session: Session, storage: Storage, submission: Submission) -> list[Standing]:
    """The decisions that put a submission out now, as its board has them; of one that never counts, none."""
    if not _counts(session, submission):
        return []
    board = boards.board_of(storage, boards.latest(session, submission.track))
    return [
        Standing(_decision(session, submission, each), each.reason, each.evidence, not each.submission)
        for each in board.disqualified
        if each.team == submission.team.name and each.submission in ("", submission.id)
    ]


def _counts(session: Session, submission: Submission) -> bool:
    """Whether it is on a board, or may still come there."""
    if session.get_one(Phase, submission.phase).kind != SCORED:
        return False
    return submission.state not in _NEVER_RANKED or entries.stands(session, submission)


def _decision(session: Session, submission: Submission, made: Disqualification) -> str:
    """The latest decision that put this on the submission's board, which itself knows of no ids."""
    of_team = select(Submission.id).filter_by(team_id=submission.team_id, track=submission.track)
    named = {made.submission} if made.submission else set(session.scalars(of_team))
    rows = select(Decision).where(Decision.kind.in_(KINDS), Decision.applied.is_not(None))
    for row in session.scalars(rows.order_by(Decision.applied.desc(), Decision.id)):
        body = row.body
        if body["submission"] in named and (body["offence"], body["evidence"]) == (made.reason, made.evidence):
            return row.id
    raise LookupError(f"no decision has put {made.team} out for '{made.reason}'")
