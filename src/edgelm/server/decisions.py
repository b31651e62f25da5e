"""What organisers decide: alone, or one proposes and another seconds, who then sees it done in one transaction.

Each kind of decision says what its body holds, what it does, and whether two people are needed. Kinds are entered by
the modules that carry them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.server import audit, notices
from edgelm.server.access import LADDER, UserRole
from edgelm.server.audit import Actor
from edgelm.server.fields import Body
from edgelm.server.refusals import Conflict, Forbidden, NotThere, Refused
from edgelm.server.state import Server
from edgelm.server.tables import Decision, User

People = tuple[User, ...]  # who decided: the one that proposed, then the one that seconded
Apply = Callable[[Session, Server, Decision, People, int], None]
Ahead = Callable[[Server, Decision, People], Apply]


@dataclass(frozen=True)
class Kind:
    """A kind of decision.

    Attributes:
        body: of what it is about.
        apply: does it, at a time in microseconds, and raises where it cannot be done.
        people: who must agree.
        role: that each of them must have at least.
        ahead: does what takes long before the transaction begins, where others would wait for it, and gives what is
            then to be applied; None if nothing does.
    """

    body: type[Body]
    apply: Apply
    people: int = 2
    role: UserRole = "organiser"
    ahead: Ahead | None = None


KINDS: dict[str, Kind] = {}


def kind_of(name: str) -> Kind:
    """The kind of that name.

    Raises:
        Refused: there is none.
    """
    if name not in KINDS:
        raise Refused(f"'{name}' is no decision", mend=f"decisions are: {', '.join(sorted(KINDS))}")
    return KINDS[name]


def parsed(name: str, body: dict[str, Any]) -> Body:
    """What a decision is about.

    Raises:
        Refused: no decision of that kind, or a body that does not fit it.
    """
    try:
        return kind_of(name).body.model_validate(body)
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:10])
        raise Refused(f"a decision to {name} is about something else", why=why) from None


def propose(session: Session, actor: Actor, kind: str, body: dict[str, Any], reason: str, now: int) -> Decision:
    """Propose what needs two people, and tell those who may second it.

    Raises:
        Refused: no such decision, or none about that.
        Conflict: the same is proposed already.
    """
    about = parsed(kind, body).model_dump(mode="json")
    for other in listed(session, undecided=True):
        if (other.kind, other.body) == (kind, about):
            raise Conflict(f"this is proposed already ({other.id})", mend="second it, or have it withdrawn")
    made = _added(session, actor, kind, about, reason, now)
    audit.record(session, actor, f"decision.propose.{kind}", made.id, now, after=_told(made), reason=reason)
    others = [user for user in notices.organisers(session) if user.id != actor.id]
    notices.tell(session, others, f"to be seconded: {kind}", reason, now, f"decision/{made.id}")
    return made


def ahead(server: Server, actor: Actor, decision_id: str) -> Apply:
    """What is to be applied when someone agrees to a decision; what takes long of it is done, in no transaction.

    Raises:
        NotThere, Forbidden, Conflict: as `second`.
    """
    with server.database.read() as session:
        made, people = _agreed(session, actor, decision_id)
    kind = kind_of(made.kind)
    return kind.ahead(server, made, people) if kind.ahead else kind.apply


def second(session: Session, server: Server, actor: Actor, decision_id: str, now: int, apply: Apply) -> Decision:
    """Agree to what another has proposed, and do it.

    Args:
        session: a writing one.
        server: whose competition.
        actor: who agrees.
        decision_id: of the proposal.
        now: microseconds.
        apply: what `ahead` gave.

    Raises:
        NotThere: there is no such decision.
        Forbidden: who asks has proposed it, or has not the role that it needs.
        Conflict: it is not open any more, or who proposed it may not decide any more; or it cannot be done.
    """
    made, people = _agreed(session, actor, decision_id)
    made.seconded_by = actor.id
    _apply(session, server, actor, made, people, now, apply)
    return made


def _agreed(session: Session, actor: Actor, decision_id: str) -> tuple[Decision, People]:
    """A proposal that someone else may agree to, and the two."""
    made = _open(session, decision_id)
    if made.proposed_by == actor.id:
        raise Forbidden("this needs another person", why="you have proposed it yourself", mend="ask another organiser")
    proposer, seconder = session.get_one(User, made.proposed_by), session.get_one(User, actor.id)
    role = kind_of(made.kind).role
    if not _reaches(actor.role, role):
        raise Forbidden(f"this is for {role}s", why=f"you are {actor.role}")
    if proposer.disabled or not _reaches(proposer.role, role):
        raise Conflict("whoever proposed this may not decide any more", mend="propose it anew")
    return made, (proposer, seconder)


def alone(
    session: Session, server: Server, actor: Actor, kind: str, body: dict[str, Any], reason: str, now: int
) -> Decision:
    """Decide and do what one organiser may.

    Raises:
        Refused: no such decision, or none about that.
        Forbidden: it needs two people.
        Conflict: it cannot be done.
    """
    about = parsed(kind, body).model_dump(mode="json")
    if kind_of(kind).people > 1:
        raise Forbidden(f"a decision to {kind} needs two people", mend="propose it, and have it seconded")
    made = _added(session, actor, kind, about, reason, now)
    _apply(session, server, actor, made, (session.get_one(User, actor.id),), now, kind_of(kind).apply)
    return made


def withdraw(session: Session, actor: Actor, decision_id: str, now: int) -> Decision:
    """Take a proposal off the table; any organiser may.

    Raises:
        NotThere: there is no such decision.
        Conflict: it is not open any more.
    """
    made = _open(session, decision_id)
    made.withdrawn = now
    audit.record(session, actor, "decision.withdraw", made.id, now, before=_told(made))
    return made


def listed(session: Session, *, undecided: bool = False) -> list[Decision]:
    """All decisions, the latest first; or those that wait to be seconded."""
    wanted = select(Decision).order_by(Decision.created.desc(), Decision.id)
    if undecided:
        wanted = wanted.where(Decision.applied.is_(None), Decision.withdrawn.is_(None))
    return list(session.scalars(wanted))


def signatures(people: People) -> tuple[str, ...]:
    """The names of who decided; with their ids where two people have one name."""
    names = [person.name for person in people]
    alike = len({name.strip().casefold() for name in names}) < len(names)
    return tuple(f"{person.name} ({person.id})" for person in people) if alike else tuple(names)


def _reaches(role: str, needed: UserRole) -> bool:
    return role in LADDER[LADDER.index(needed) :]


def _open(session: Session, decision_id: str) -> Decision:
    made = session.get(Decision, decision_id)
    if made is None:
        raise NotThere(f"there is no decision {decision_id}")
    if made.applied is not None or made.withdrawn is not None:
        became = "done" if made.applied is not None else "withdrawn"
        raise Conflict(f"decision {decision_id} was {became} before")
    return made


def _added(session: Session, actor: Actor, kind: str, body: dict[str, Any], reason: str, now: int) -> Decision:
    if not reason.strip():
        raise Refused("there is no reason", why="every decision is kept with one", mend="give the reason")
    made = Decision(kind=kind, body=body, reason=reason, proposed_by=actor.id, created=now)
    session.add(made)
    session.flush()
    return made


def _apply(
    session: Session, server: Server, actor: Actor, made: Decision, people: People, now: int, apply: Apply
) -> None:  # fmt: skip
    made.applied = now
    audit.record(session, actor, f"decision.{made.kind}", made.id, now, after=_told(made), reason=made.reason)
    apply(session, server, made, people, now)


def _told(made: Decision) -> dict[str, Any]:
    return {"kind": made.kind, "body": made.body, "by": [made.proposed_by, made.seconded_by]}
