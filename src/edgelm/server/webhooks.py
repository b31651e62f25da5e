"""Webhooks: where a team, or the organisers, have their messages posted to programs of their own."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.check.fetch import address_problem
from edgelm.server import audit, notices, outbox, teams
from edgelm.server.audit import Actor
from edgelm.server.keys import new_key
from edgelm.server.refusals import Conflict, NotThere, Refused
from edgelm.server.tables import Notice, Webhook

MOST = 5  # of a team, or of the organisers
_TEST = "test"  # the subject of a message that tells of nothing


def create(session: Session, actor: Actor, team_id: str | None, url: str, now: int) -> Webhook:
    """Have messages posted to an address from now on.

    Args:
        session: a writing one.
        actor: a user; of a team's webhooks, its captain.
        team_id: whose messages; the organisers' if None.
        url: https, on the public network.
        now: microseconds.

    Raises:
        Forbidden, NotThere: they are not the captain, not in the team.
        Refused: the address may not be posted to.
        Conflict: there are as many as may be, or it is one of them.
    """
    _require_captain(session, actor, team_id)
    if problem := address_problem(url, hosts=None):
        raise Refused("nothing can be posted there", why=problem, mend="give an https address that all can reach")
    before = listed(session, team_id)
    if any(webhook.url == url for webhook in before):
        raise Conflict("messages are posted there already", mend="remove the webhook that is there first")
    if len(before) >= MOST:
        raise Conflict(f"there are {MOST} webhooks already", mend="remove one first")
    made = Webhook(team_id=team_id, user_id=actor.id, url=url, secret=new_key(), created=now)
    session.add(made)
    session.flush()
    audit.record(session, actor, "webhook.create", made.id, now, after={"team": team_id, "url": url})
    return made


def listed(session: Session, team_id: str | None) -> list[Webhook]:
    """The webhooks of a team, or of the organisers, the first made first."""
    return list(session.scalars(select(Webhook).filter_by(team_id=team_id).order_by(Webhook.created, Webhook.id)))


def remove(session: Session, actor: Actor, team_id: str | None, webhook_id: str, now: int) -> None:
    """Post nothing there any more, not even what waits.

    Raises:
        Forbidden, NotThere: they are not the captain, or there is no such webhook of theirs.
    """
    webhook = _find(session, actor, team_id, webhook_id)
    audit.record(session, actor, "webhook.remove", webhook.id, now, before={"team": team_id, "url": webhook.url})
    session.delete(webhook)


def test(session: Session, actor: Actor, team_id: str | None, webhook_id: str, now: int) -> None:
    """Post a message that tells of nothing.

    Raises:
        Forbidden, NotThere: they are not the captain, or there is no such webhook of theirs.
        Conflict: the one before was not taken yet.
    """
    webhook = _find(session, actor, team_id, webhook_id)
    if outbox.waiting(session, "webhook", now, Notice.target == webhook.id, Notice.subject == _TEST):
        raise Conflict("a test is on its way there already", why="it was not taken yet, and is tried again until it is",
                       mend="wait until it is taken, or make the webhook anew")  # fmt: skip
    notices.post(session, webhook, _TEST, "This webhook works.", now)
    audit.record(session, actor, "webhook.test", webhook.id, now)


def last_sent(session: Session, webhook_id: str) -> int | None:
    """When the last message was taken there, in microseconds; None if none was."""
    of_it = select(func.max(Notice.sent)).where(Notice.channel == "webhook", Notice.target == webhook_id)
    return session.scalar(of_it)


def _find(session: Session, actor: Actor, team_id: str | None, webhook_id: str) -> Webhook:
    _require_captain(session, actor, team_id)
    webhook = session.get(Webhook, webhook_id)
    if webhook is None or webhook.team_id != team_id:
        raise NotThere("there is no such webhook", mend="see those that there are")
    return webhook


def _require_captain(session: Session, actor: Actor, team_id: str | None) -> None:
    if team_id is not None:
        teams.led(session, actor, team_id)
