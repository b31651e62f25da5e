"""The log of everything that was done, a chain in which no entry can be changed or left out unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.files import canonical_json, sha256_bytes
from edgelm.server.tables import Audit

NOBODY = "0" * 64  # what the first entry holds instead of the digest of one before
_FIELDS = ("number", "time", "actor", "role", "action", "object", "before", "after", "reason", "previous")


@dataclass(frozen=True)
class Actor:
    """Who does something: a user, a worker or the server itself."""

    id: str
    role: str


@dataclass(frozen=True)
class Filter:
    """Which entries are wanted: of whom, of which action or beginning of one, about what, in [since, until)."""

    actor: str = ""
    action: str = ""
    object: str = ""
    since: int = 0  # microseconds
    until: int = 2**63 - 1


SYSTEM = Actor("system", "system")


def record(
    session: Session, actor: Actor, action: str, object: str, time: int, *,
    before: Any = None, after: Any = None, reason: str = "",
) -> None:  # fmt: skip
    """Append an entry, in the transaction of what it tells of.

    Args:
        session: a writing one.
        actor: who did it.
        action: such as `team.create`.
        object: id of what was changed.
        time: microseconds.
        before: what was, as JSON values; its digest is kept.
        after: what is now.
        reason: as given.
    """
    session.flush()
    last = session.scalars(select(Audit).order_by(Audit.number.desc()).limit(1)).first()
    entry = Audit(
        number=last.number + 1 if last else 1, time=time, actor=actor.id, role=actor.role, action=action,
        object=object, before=_digest(before), after=_digest(after), reason=reason,
        previous=last.hash if last else NOBODY,
    )  # fmt: skip
    entry.hash = _hash(entry)
    session.add(entry)
    session.flush()


def head(session: Session) -> tuple[int, str]:
    """Number and hash of the last entry."""
    last = session.scalars(select(Audit).order_by(Audit.number.desc()).limit(1)).first()
    return (last.number, last.hash) if last else (0, NOBODY)


def entries(session: Session, wanted: Filter, before: int, limit: int) -> list[Audit]:
    """Entries of numbers below `before` that fit a filter, the latest first."""
    found = select(Audit).where(Audit.number < before, Audit.time >= wanted.since, Audit.time < wanted.until)
    for column, value in ((Audit.actor, wanted.actor), (Audit.object, wanted.object)):
        found = found.where(column == value) if value else found
    if wanted.action:
        found = found.where(Audit.action.startswith(wanted.action, autoescape=True))
    return list(session.scalars(found.order_by(Audit.number.desc()).limit(limit)))


def first_break(session: Session) -> int | None:
    """The number of the first entry that does not follow from those before it; None if the chain holds."""
    number, previous = 0, NOBODY
    for entry in session.scalars(select(Audit).order_by(Audit.number).execution_options(yield_per=1000)):
        if (entry.number, entry.previous, entry.hash) != (number + 1, previous, _hash(entry)):
            return number + 1
        number, previous = entry.number, entry.hash
    return None


def _hash(entry: Audit) -> str:
    return sha256_bytes(canonical_json({field: getattr(entry, field) for field in _FIELDS}))


def _digest(value: Any) -> str:
    return "" if value is None else sha256_bytes(canonical_json(value))
