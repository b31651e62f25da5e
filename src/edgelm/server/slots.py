"""A team's scored slots and attempts as rows, with the meaning that `score.slots` gives them. Rule R2.

A slot is taken by an update that succeeds only while it is free, in the transaction that hands the package in. Its key
and that of its holder are unique, so that two packages cannot hold one slot, nor one package two.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from sqlalchemy import CursorResult, Update, func, select, update
from sqlalchemy.orm import Session

from edgelm.rules.base import Rules
from edgelm.score.slots import FREES_RESERVED, FREES_SPENT, Cause
from edgelm.server import audit
from edgelm.server.audit import Actor
from edgelm.server.refusals import Conflict, Refused
from edgelm.server.tables import Attempts, Slot, Submission

FREE, RESERVED, SPENT = "free", "reserved", "spent"
End = Cause | Literal["refusal"]  # the checker refused, on a worker, what its first look had let through
_FREES = {RESERVED: ("refusal", *FREES_RESERVED), SPENT: FREES_SPENT}


def slots(session: Session, team_id: str, track: str, phase: str) -> list[Slot]:
    """The slots of a team, by number; none before its first package of the phase."""
    mine = select(Slot).filter_by(team_id=team_id, track=track, phase=phase).order_by(Slot.number)
    return list(session.scalars(mine))


def attempts_left(session: Session, rules: Rules, team_id: str, track: str, phase: str) -> int:
    """How many packages a team may still hand in."""
    row = session.get(Attempts, (team_id, track, phase))
    return max(0, rules.attempts - (row.used if row else 0))


def attempt(session: Session, rules: Rules, team_id: str, track: str, phase: str) -> None:
    """Use up one attempt.

    Raises:
        Conflict: none is left (SUB-05).
    """
    key = {"team_id": team_id, "track": track, "phase": phase}
    if session.get(Attempts, tuple(key.values())) is None:
        session.add(Attempts(**key, used=0))
        session.flush()
    used = update(Attempts).filter_by(**key).where(Attempts.used < rules.attempts).values(used=Attempts.used + 1)
    if not _changed(session, used):
        raise _used_up(rules, track, phase)


def require_any(session: Session, rules: Rules, team_id: str, track: str, phase: str, *, scored: bool) -> None:
    """Let through who has an attempt and, in a scored phase, a slot left: as things are, before work is put into it.

    Raises:
        Conflict: no attempt (SUB-05), or no slot (SUB-03).
    """
    if not attempts_left(session, rules, team_id, track, phase):
        raise _used_up(rules, track, phase)
    mine = slots(session, team_id, track, phase)
    if scored and mine and all(slot.use != FREE for slot in mine):
        raise _all_in_use(session, team_id, track, phase)


def reserve(session: Session, rules: Rules, submission: Submission) -> int:
    """Take the lowest free slot for a submission; its number.

    Raises:
        Conflict: none is free (SUB-03); all are named with what holds them.
    """
    _open(session, rules, submission.team_id, submission.track, submission.phase)
    mine = {"team_id": submission.team_id, "track": submission.track, "phase": submission.phase}
    lowest = select(func.min(Slot.number)).filter_by(**mine, use=FREE).scalar_subquery()
    taken = update(Slot).filter_by(**mine, number=lowest, use=FREE)
    if not _changed(session, taken.values(use=RESERVED, submission_id=submission.id)):
        raise _all_in_use(session, **mine)
    return session.scalars(select(Slot.number).filter_by(submission_id=submission.id)).one()


def holds(session: Session, submission: Submission) -> bool:
    """Whether a submission holds a slot."""
    return session.scalars(select(Slot).filter_by(submission_id=submission.id)).first() is not None


def start(session: Session, submission: Submission) -> None:
    """Spend the slot of a submission whose evaluation starts, or starts again."""
    session.execute(update(Slot).filter_by(submission_id=submission.id).values(use=SPENT))


def release(session: Session, submission: Submission, cause: End) -> bool:
    """Free the slot of a submission, if that cause of its end gives it back; whether it did."""
    gives = [use for use, causes in _FREES.items() if cause in causes]
    held = update(Slot).filter_by(submission_id=submission.id).where(Slot.use.in_(gives))
    return _changed(session, held.values(use=FREE, submission_id=None))


def grant(
    session: Session, actor: Actor, rules: Rules, team_id: str, track: str, phase: str, reason: str, now: int
) -> int:
    """Give a team one slot more; its number.

    Raises:
        Refused: there is no reason.
    """
    if not reason.strip():
        raise Refused("there is no reason", why="a granted slot is logged with one", mend="give the reason")
    _open(session, rules, team_id, track, phase)
    number = len(slots(session, team_id, track, phase)) + 1
    session.add(Slot(team_id=team_id, track=track, phase=phase, number=number))
    audit.record(session, actor, "slot.grant", team_id, now, reason=reason,
                 after={"track": track, "phase": phase, "number": number})  # fmt: skip
    return number


def _open(session: Session, rules: Rules, team_id: str, track: str, phase: str) -> None:
    """Make the slots that the rules give a team, before the first is taken."""
    if not slots(session, team_id, track, phase):
        numbers = range(1, rules.submissions + 1)
        session.add_all(Slot(team_id=team_id, track=track, phase=phase, number=number) for number in numbers)
        session.flush()


def _used_up(rules: Rules, track: str, phase: str) -> Conflict:
    return Conflict(
        f"all {rules.attempts} attempts of the team in {track}, {phase}, are used up",
        why="each package that is handed in is an attempt, those that the checker refuses included",
        mend="ask the organisers", code="SUB-05",
    )  # fmt: skip


def _all_in_use(session: Session, team_id: str, track: str, phase: str) -> Conflict:
    held = slots(session, team_id, track, phase)
    holders = {id: session.get_one(Submission, id) for slot in held if (id := slot.submission_id)}
    named = [f"{slot.number}: {slot.submission_id} {holders[slot.submission_id].state}"
             for slot in held if slot.submission_id]  # fmt: skip
    waiting = any(slot.use == RESERVED for slot in held)
    mend = "withdraw one whose evaluation has not started" if waiting else "wait for the next phase"
    return Conflict(f"all {len(held)} slots in {track} are in use", why=", ".join(named), mend=mend,
                    code="SUB-03")  # fmt: skip


def _changed(session: Session, statement: Update) -> bool:
    """Carry out an update of one row at the most; whether there was that row."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount == 1
