"""Messages to people and programs, written with the change that they tell of; `outbox` sends each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from edgelm.server.tables import Member, Notice, User, Webhook, new_id


def tell(session: Session, users: Iterable[User], subject: str, body: str, now: int, event: str = "") -> None:
    """Tell people on their pages and by mail, in the transaction of what there is to tell.

    What a whole team is told, or all organisers, goes to their webhooks as well.

    Args:
        session: a writing one.
        users: whom to tell; those without access are left out.
        subject: one line.
        body: the rest, plain text.
        now: microseconds.
        event: an id of what happened, which nobody is told of twice; what happens once needs none.
    """
    event = event or new_id()
    told = {user.id: user for user in users if not user.disabled}
    for user in told.values():
        for channel, target in (("page", user.id), ("mail", user.email)):
            session.add(Notice(event=event, user_id=user.id, channel=channel, target=target, subject=subject, body=body,
                               created=now))  # fmt: skip
    for webhook in _webhooks(session, set(told)):
        post(session, webhook, subject, body, now, event)


def tell_address(
    session: Session, email: str, subject: str, body: str, now: int, link: str = "", event: str = ""
) -> None:
    """Tell someone by mail who may have no account; a link that bears a secret is kept until it is sent."""
    session.add(Notice(event=event or new_id(), channel="mail", target=email, subject=subject, body=body, link=link,
                       created=now))  # fmt: skip


def take_back(session: Session, event: str) -> None:
    """Send no more mail of what happened; what was sent stays."""
    session.execute(delete(Notice).where(Notice.event == event, Notice.channel == "mail", Notice.sent.is_(None)))


def post(session: Session, webhook: Webhook, subject: str, body: str, now: int, event: str = "") -> None:
    """Tell the program behind a webhook."""
    session.add(Notice(event=event or new_id(), channel="webhook", target=webhook.id, subject=subject, body=body,
                       created=now))  # fmt: skip


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


def _webhooks(session: Session, told: set[str]) -> Iterator[Webhook]:
    """The webhooks of those groups that are told as a whole: what one person is told is not for the others."""
    webhooks = session.scalars(select(Webhook)).all()
    if not webhooks:
        return
    groups: dict[str | None, set[str]] = {None: {user.id for user in organisers(session) if not user.disabled}}
    of_teams = select(Member.team_id, Member.user_id).join(User, User.id == Member.user_id).where(~User.disabled)
    for team_id, user_id in session.execute(of_teams):
        groups.setdefault(team_id, set()).add(user_id)
    for webhook in webhooks:
        people = groups.get(webhook.team_id)
        if people and people <= told:
            yield webhook
