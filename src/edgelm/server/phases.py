"""The one table of phases: rows of the database as `rules.phases` has them, and which phase it is now."""

from __future__ import annotations

from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.rules.phases import Phase, phase_table, shown
from edgelm.server import audit, notices
from edgelm.server.audit import Actor
from edgelm.server.clock import microseconds, moment
from edgelm.server.refusals import Conflict, NotThere, Refused
from edgelm.server.tables import Attempts, Slot, Submission
from edgelm.server.tables import Phase as Row

Kind = Literal["registration", "smoke", "preliminary", "scored", "stage-2"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SMOKE: Kind = "smoke"  # packages are tried out, and nothing of it counts
_YEARS = range(2000, 2101)


def as_phase(row: Row) -> Phase:
    """A row as the rules know it."""
    return Phase(row.name, moment(row.opens), moment(row.closes))


def rows(session: Session) -> list[Row]:
    """All phases, by when they open."""
    return list(session.scalars(select(Row).order_by(Row.opens, Row.name)))


def open_phase(session: Session, kind: Kind, now: int) -> Row | None:
    """The phase of a kind to which belongs what is received now."""
    return next((row for row in rows(session) if row.kind == kind and row.opens <= now < row.closes), None)


def scored(session: Session, now: int) -> Row | None:
    """The scored phase of now."""
    return open_phase(session, "scored", now)


def receiving(session: Session, now: int) -> Row | None:
    """The phase that packages are handed in to now: the scored one, or else the preliminary review."""
    return scored(session, now) or open_phase(session, "preliminary", now)


def coming(session: Session, kind: Kind, now: int) -> Row | None:
    """The phase of a kind that is open, or else the one that opens next."""
    return next((row for row in rows(session) if row.kind == kind and now < row.closes), None)


def require(session: Session, kind: Kind, now: int, code: str = "") -> Row:
    """The phase of a kind of now.

    Raises:
        Conflict: none is open; with when the next one opens or the last one closed.
    """
    row = open_phase(session, kind, now)
    if row is None:
        raise Conflict(f"no {kind} phase is open", why=_nearest(session, kind, now), mend="see the dates", code=code)
    return row


def require_registration(session: Session, now: int) -> None:
    """Let through while teams may register: always, if no phase says when.

    Raises:
        Conflict: it is not the time.
    """
    if any(row.kind == "registration" for row in rows(session)):
        require(session, "registration", now, "SUB-01")


def set_phase(
    session: Session, actor: Actor, name: str, kind: Kind, opens: str, closes: str, reason: str, now: int
) -> Row:
    """Make a phase, or give one other dates, and tell all teams.

    Args:
        session: a writing one.
        actor: who.
        name: of the phase.
        kind: which does not change.
        opens: an instant or a day, as `rules.phases.instant` reads it.
        closes: likewise; of a day its end.
        reason: as told to the teams.
        now: microseconds.

    Raises:
        BadOption: no instant, or it closes before it opens.
        Refused: a year that no competition is in.
        Conflict: another phase of the kind overlaps, or the phase is of another kind.
    """
    (phase,) = phase_table({name: (opens, closes)})
    if phase.opens.year not in _YEARS or phase.closes.year not in _YEARS:
        raise Refused(f"phase '{name}' is in no year of ours", mend=f"choose {_YEARS[0]} to {_YEARS[-1]}")
    start, end = microseconds(phase.opens), microseconds(phase.closes)
    for other in rows(session):
        if other.kind == kind and other.name != name and start < other.closes and other.opens < end:
            why = "two phases of one kind would be open at once"
            raise Conflict(f"phase '{name}' overlaps '{other.name}'", why=why, mend="choose other dates")
    row = session.get(Row, name)
    if row is not None and row.kind != kind:
        raise Conflict(f"phase '{name}' is of the kind {row.kind}", mend="take another name")
    before = None if row is None else _told(row)
    if row is None:
        row = Row(name=name, kind=kind, opens=start, closes=end)
        session.add(row)
    row.opens, row.closes = start, end
    audit.record(session, actor, "phase.set", name, now, before=before, after=_told(row), reason=reason)
    body = f"{name} ({kind}) is open from {shown(phase.opens)} until before {shown(phase.closes)}. {reason}"
    notices.tell(session, notices.members(session), f"Dates of {name}", body, now)
    return row


def remove_phase(session: Session, actor: Actor, name: str, reason: str, now: int) -> None:
    """Remove a phase that nothing was handed in to.

    Raises:
        NotThere: there is none of that name.
        Conflict: something belongs to it.
    """
    row = session.get(Row, name)
    if row is None:
        raise NotThere(f"there is no phase '{name}'", mend="see the dates")
    for table in (Submission, Slot, Attempts):
        if session.scalars(select(table).where(table.phase == name).limit(1)).first():
            raise Conflict(f"packages were handed in to phase '{name}'", mend="change its dates instead")
    session.delete(row)
    audit.record(session, actor, "phase.remove", name, now, before=_told(row), reason=reason)
    notices.tell(session, notices.members(session), f"{name} was removed from the dates", reason, now)


def _nearest(session: Session, kind: Kind, now: int) -> str:
    of_kind = [row for row in rows(session) if row.kind == kind]
    coming = [row for row in of_kind if now < row.opens]
    if coming:
        return f"'{coming[0].name}' opens on {shown(moment(coming[0].opens))}"
    if of_kind:
        last = max(of_kind, key=lambda row: row.closes)
        return f"'{last.name}' closed on {shown(moment(last.closes))}"
    return f"no phase of the kind {kind} is planned" if rows(session) else "no dates are published"


def _told(row: Row) -> dict[str, object]:
    return {"kind": row.kind, "opens": row.opens, "closes": row.closes}
