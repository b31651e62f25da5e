"""What the checker flagged, and what reviewers decide on it: one clears a submission, two confirm the flag. Rule R3.5.

A confirmed flag is a disqualification, and the board follows at once. Whatever is decided, the team is told why.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.server import board_decisions, decisions, notices, offences, states
from edgelm.server.audit import Actor
from edgelm.server.board_decisions import Charge, Name, Planned
from edgelm.server.decisions import Kind, People
from edgelm.server.fields import Body
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.state import Server
from edgelm.server.tables import Decision, Finding, Submission

CLEAR, CONFIRM = "clear-review", "confirm-review"
OPEN, CLEARED, CONFIRMED = "open", "cleared", "confirmed"


class Cleared(Body):
    """A submission whose flags are no offence."""

    submission: Name


def listed(session: Session, state: str, most: int) -> list[Submission]:
    """The submissions whose review is in a state, the oldest first."""
    return list(session.scalars(
        select(Submission).filter_by(review=state).order_by(Submission.received, Submission.id).limit(most)
    ))  # fmt: skip


def flags(session: Session, submission: Submission) -> list[Finding]:
    """What a reviewer has to decide on, with its evidence."""
    of = select(Finding).filter_by(submission_id=submission.id).order_by(Finding.number)
    return [row for row in session.scalars(of) if row.body["severity"] == "R"]


def decided(session: Session, submissions: Sequence[Submission]) -> dict[str, list[Decision]]:
    """By submission, what was proposed and decided in its review, oldest first."""
    found: dict[str, list[Decision]] = {submission.id: [] for submission in submissions}
    rows = select(Decision).where(Decision.kind.in_((CLEAR, CONFIRM))).order_by(Decision.created, Decision.id)
    for row in session.scalars(rows):
        if row.body["submission"] in found:
            found[row.body["submission"]].append(row)
    return found


def clear(session: Session, server: Server, actor: Actor, submission_id: str, reason: str, now: int) -> Decision:
    """Find, as one reviewer, that what was flagged is no offence.

    Raises:
        NotThere: there is no such submission.
        Conflict: its review is not open.
    """
    _open(session, submission_id)
    return decisions.alone(session, server, actor, CLEAR, {"submission": submission_id}, reason, now)


def propose(session: Session, actor: Actor, charge: Charge, reason: str, now: int) -> Decision:
    """Propose, as the first of two, to confirm what was flagged; the second agrees as to any decision.

    Raises:
        NotThere: there is no such submission.
        Conflict: its review is not open, or this is proposed already.
    """
    _open(session, charge.submission)
    return decisions.propose(session, actor, CONFIRM, charge.model_dump(), reason, now)


def planned(session: Session, server: Server, charge: Charge, reason: str) -> Planned | None:
    """What confirming a flag leads to on the board; None if it puts nothing out that is or may come there.

    Raises:
        NotThere: there is no such submission, or its board is not open yet.
        Conflict, Unsupported: it cannot be confirmed.
    """
    if not offences.scope(session, _confirmable(session, charge.submission), charge.offence).submissions:
        return None
    return board_decisions.planned(session, server, CONFIRM, charge, reason)


def reason(session: Session, submission: Submission) -> str:
    """Why its flags were cleared or confirmed; empty before."""
    last = [each.reason for each in decided(session, [submission])[submission.id] if each.applied is not None]
    return last[-1] if last and submission.review in (CLEARED, CONFIRMED) else ""


def _clear(session: Session, server: Server, made: Decision, people: People, now: int) -> None:
    _end(session, _open(session, made.body["submission"]), CLEARED, made, now)


def _confirm(session: Session, server: Server, made: Decision, people: People, now: int) -> None:
    """Put out by the next revision of the board whom the offence concerns; where that is nobody, only say so."""
    submission = _confirmable(session, made.body["submission"])
    if offences.scope(session, submission, made.body["offence"]).submissions:
        decisions.kind_of("disqualify").apply(session, server, made, people, now)
    _end(session, submission, CONFIRMED, made, now)


def _confirmable(session: Session, submission_id: str) -> Submission:
    """A submission whose review is open, and of which it is known what comes of it."""
    submission = _open(session, submission_id)
    if not states.over(session, submission):
        raise Conflict(f"submission {submission.id} is {submission.state}", why="it is not known what comes of it",
                       mend="wait for the end of its evaluation, or cancel it")  # fmt: skip
    return submission


def _open(session: Session, submission_id: str) -> Submission:
    submission = session.get(Submission, submission_id)
    if submission is None:
        raise NotThere(f"there is no submission {submission_id}")
    if submission.review != OPEN:
        raise Conflict(f"the review of {submission_id} is not open", why=f"it is {submission.review or 'not flagged'}")
    return submission


def _end(session: Session, submission: Submission, review: str, made: Decision, now: int) -> None:
    submission.review, submission.changed = review, now
    notices.tell(session, notices.members(session, submission.team_id), f"{submission.called}: review {review}",
                 made.reason, now, f"decision/{made.id}/review")  # fmt: skip


decisions.KINDS.update({
    CLEAR: Kind(Cleared, _clear, people=1, role="reviewer"), CONFIRM: Kind(Charge, _confirm, role="reviewer"),
})  # fmt: skip
