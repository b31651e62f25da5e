"""The states of a submission, and what may follow on what.

    checking ──▶ accepted ──▶ queued ◀──▶ running ──▶ scored
       │  └────▶ refused                     └──────▶ failed
       └─ all but those that ended ──▶ withdrawn, cancelled

Scored, failed and cancelled ones are queued again when an organiser has them run anew; where that is cancelled, what
was scored is scored again. A check that failed is made again; a scored one can be withdrawn until its phase closes. A
package of the preliminary review stays accepted.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from edgelm.rules.phases import shown
from edgelm.server import audit, notices, queue, slots
from edgelm.server.audit import Actor
from edgelm.server.clock import moment
from edgelm.server.refusals import Conflict
from edgelm.server.tables import Phase, Submission

NEXT = {
    "checking": ("accepted", "refused", "failed", "withdrawn", "cancelled"),
    "accepted": ("queued", "withdrawn", "cancelled"),
    "queued": ("running", "scored", "failed", "withdrawn", "cancelled"),
    "running": ("scored", "failed", "queued", "withdrawn", "cancelled"),
    "scored": ("queued", "withdrawn"),
    "failed": ("queued", "checking"),
    "cancelled": ("queued",),
    "refused": (),
    "withdrawn": (),
}
ENDED = ("scored", "failed", "cancelled", "refused", "withdrawn")


def move(
    session: Session, actor: Actor, submission: Submission, state: str, now: int, *,
    stage: str | None = None, code: str = "", sentence: str = "", fault: str = "",
) -> None:  # fmt: skip
    """Bring a submission into a state, and tell its team.

    Args:
        session: a writing one.
        actor: who does.
        submission: which.
        state: the new one.
        now: microseconds.
        stage: of a run; as it was if None.
        code: of an end.
        sentence: that says why.
        fault: platform, participant, organiser; none if empty.

    Raises:
        Conflict: the state does not follow on the one it is in.
    """
    if state not in NEXT[submission.state]:
        raise Conflict(f"submission {submission.id} is {submission.state}, and cannot become {state}")
    before = {"state": submission.state, "code": submission.code}
    submission.state, submission.changed = state, now
    submission.stage = submission.stage if stage is None else stage
    submission.code, submission.sentence, submission.fault = code, sentence, fault
    audit.record(session, actor, f"submission.{state}", submission.id, now, before=before,
                 after={"state": state, "code": code, "fault": fault}, reason=sentence)  # fmt: skip
    number, _ = audit.head(session)  # two changes may have one time
    notices.tell(session, notices.members(session, submission.team_id), f"{submission.called}: {state}", sentence, now,
                 f"{submission.id}/{state}/{number}")  # fmt: skip


def over(session: Session, submission: Submission) -> bool:
    """Whether nothing more happens to a submission by itself; a package of the preliminary review ends accepted."""
    reviewed = submission.state == "accepted" and session.get_one(Phase, submission.phase).kind != "scored"
    return reviewed or submission.state in ENDED


def withdraw(session: Session, actor: Actor, submission: Submission, now: int) -> None:
    """Take a submission back: it is not ranked. Its slot is free again if its evaluation has not started.

    Raises:
        Conflict: it has ended otherwise, or its phase has closed.
    """
    phase = session.get_one(Phase, submission.phase)
    if now >= phase.closes:
        raise Conflict(f"'{phase.name}' has closed", why=f"withdrawal ended on {shown(moment(phase.closes))}",
                       mend="ask the organisers")  # fmt: skip
    _end(session, actor, submission, "withdrawn", "withdrawal", now)


def cancel(session: Session, actor: Actor, submission: Submission, reason: str, now: int) -> None:
    """End a submission by the organisers' will; its slot is free again.

    One that was evaluated before, and is evaluated anew, is scored as it was.

    Raises:
        Conflict: it has ended already.
    """
    if submission.state in ("queued", "running") and queue.has_result(session, submission.id):
        move(session, actor, submission, "scored", now, code="scored", sentence=reason)
        queue.cancel(session, actor, submission.id, now, reason)
        return
    _end(session, actor, submission, "cancelled", "cancellation", now, sentence=reason, fault="organiser")


def _end(
    session: Session, actor: Actor, submission: Submission, state: str, cause: slots.End, now: int, *,
    sentence: str = "", fault: str = "",
) -> None:  # fmt: skip
    move(session, actor, submission, state, now, code=cause, sentence=sentence, fault=fault)
    queue.cancel(session, actor, submission.id, now, sentence)
    slots.release(session, submission, cause)
