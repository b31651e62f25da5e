"""Messages to people, written with the change that they tell of; what sends them comes later, and sends each once."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.server.tables import Member, Notice, User, new_id


def tell(session: Session, users: Iterable[User], subject: str, body: str, now: int, event: str = "") -> None:
    """Tell people on their pages and by mail, in the transaction of what there is to tell.

    Args:
        session: a writing one.
        users: whom to tell; those without access are left out.
        subject: one line.
        body: the rest, plain text.
        now: microseconds.
        event: an id of what happened, which nobody is told of twice; what happens once needs none.
    """
    event = event or new_id()
    for user in users:
        if not user.disabled:
            for channel, target in (("page", user.id), ("mail", user.email)):
                session.add(Notice(event=event, user_id=user.id, channel=channel, target=target, subject=subject,
                                   body=body, created=now))  # fmt: skip


def tell_address(session: Session, email: str, subject: str, body: str, now: int) -> None:
    """Tell someone by mail who may have no account."""
    session.add(Notice(event=new_id(), channel="mail", target=email, subject=subject, body=body, created=now))


def members(session: Session, team_id: str | None = None) -> list[User]:
    """The members of a team, or of all teams."""
    of_team = () if team_id is None else (Member.team_id == team_id,)
    return list(session.scalars(select(User).join(Member, Member.user_id == User.id).where(*of_team)))


def shown(session: Session, user_id: str, most: int = 100) -> list[Notice]:
    """What stands on someone's page of messages, the latest first."""
    of_page = select(Notice).where(Notice.user_id == user_id, Notice.channel == "page")
    return list(session.scalars(of_page.order_by(Notice.created.desc(), Notice.id).limit(most)))


def organisers(session: Session) -> list[User]:
    """Those who run the competition."""
    return list(session.scalars(select(User).where(User.role.in_(("organiser", "admin")))))
