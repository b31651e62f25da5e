"""Appeals: a team's objection to how a submission ended, until some days after the board is provisional."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.rules.base import Rules
from edgelm.rules.phases import shown
from edgelm.server import audit, notices
from edgelm.server.audit import Actor
from edgelm.server.clock import DAY, moment
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.states import ENDED
from edgelm.server.tables import Appeal, Revision, Submission

Outcome = Literal["granted", "dismissed"]
_PROVISIONAL = "provisional"


def deadline(session: Session, rules: Rules, track: str) -> int | None:
    """Until before when appeals are taken, in microseconds; None while there is no provisional board."""
    states = select(Revision.created).filter_by(track=track, state=_PROVISIONAL).order_by(Revision.number)
    published = session.scalars(states).first()
    return None if published is None else published + rules.objection_days * DAY


def appeal(session: Session, rules: Rules, actor: Actor, submission: Submission, text: str, now: int) -> Appeal:
    """Object to how a submission ended.

    Args:
        session: a writing one.
        rules: in force.
        actor: a member of its team.
        submission: which has ended.
        text: why.
        now: microseconds.

    Raises:
        Conflict: it has not ended, an appeal is open already, or it is too late.
    """
    last = deadline(session, rules, submission.track)
    if last is not None and now >= last:
        raise Conflict("appeals have closed", why=f"they were taken until {shown(moment(last))}",
                       mend="ask the organisers")  # fmt: skip
    if submission.state not in ENDED:
        raise Conflict(f"submission {submission.id} is {submission.state}", why="an appeal is against how one ended",
                       mend="wait for its end")  # fmt: skip
    if any(not one.decision for one in of(session, submission)):
        raise Conflict("an appeal about this submission is open", mend="wait for its decision")
    made = Appeal(submission_id=submission.id, user_id=actor.id, text=text, created=now)
    session.add(made)
    session.flush()
    audit.record(session, actor, "appeal.make", made.id, now, after={"submission": submission.id, "text": text})
    told = notices.organisers(session)
    notices.tell(session, told, f"appeal about {submission.called}", text, now, f"appeal/{made.id}")
    return made


def decide(session: Session, actor: Actor, appeal_id: str, outcome: Outcome, reason: str, now: int) -> Appeal:
    """Decide an appeal, and tell the team.

    Raises:
        NotThere: there is no such appeal.
        Conflict: it was decided before.
    """
    found = session.get(Appeal, appeal_id)
    if found is None:
        raise NotThere(f"there is no appeal {appeal_id}")
    if found.decision:
        raise Conflict(f"appeal {appeal_id} was {found.decision} before", why=found.reason)
    found.decision, found.reason, found.decided = outcome, reason, now
    submission = session.get_one(Submission, found.submission_id)
    audit.record(session, actor, "appeal.decide", found.id, now, after={"decision": outcome}, reason=reason)
    notices.tell(session, notices.members(session, submission.team_id), f"{submission.called}: appeal {outcome}",
                 reason, now, f"appeal/{found.id}/decided")  # fmt: skip
    return found


def of(session: Session, submission: Submission | None = None, *, undecided: bool = False) -> list[Appeal]:
    """The appeals about a submission, or all of them, oldest first."""
    wanted = select(Appeal).order_by(Appeal.created, Appeal.id)
    if submission is not None:
        wanted = wanted.filter_by(submission_id=submission.id)
    return list(session.scalars(wanted.filter_by(decision="") if undecided else wanted))
