"""What organisers publish: rule sets and announcements."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.rules.base import Rules
from edgelm.server import audit, notices
from edgelm.server.audit import Actor
from edgelm.server.refusals import NotThere
from edgelm.server.tables import Announcement, RuleSet


def publish_rules(session: Session, actor: Actor, rules: Rules, reason: str, now: int) -> None:
    """Put rules in force and tell all teams; nothing is done if they are in force."""
    latest = rule_sets(session)[:1]
    if latest and latest[0].digest == rules.digest:
        return
    row = session.get(RuleSet, rules.digest)  # rules that were in force before may be so again
    if row is None:
        row = RuleSet(digest=rules.digest, body=rules.to_bytes().decode())
        session.add(row)
    row.since, row.reason = now, reason
    before = latest[0].digest if latest else None
    audit.record(session, actor, "rules.publish", rules.digest, now, before=before, after=rules.digest, reason=reason)
    if latest:
        body = f"{reason}\nPackages must name the rule set {rules.digest}: pack again after reading what changed."
        notices.tell(session, notices.members(session), f"The rules {rules.name} were changed", body, now)


def rule_sets(session: Session) -> list[RuleSet]:
    """All rules that were ever in force, the latest first."""
    return list(session.scalars(select(RuleSet).order_by(RuleSet.since.desc(), RuleSet.digest)))


def rule_set(session: Session, digest: str) -> RuleSet:
    """The rules of that digest.

    Raises:
        NotThere: none were ever in force.
    """
    row = session.get(RuleSet, digest)
    if row is None:
        raise NotThere("there are no such rules", mend="see /rules for those in force")
    return row


def announce(session: Session, actor: Actor, title: str, body: str, now: int) -> Announcement:
    """Say something to all, and to the members of all teams by mail."""
    row = Announcement(title=title, body=body, created=now)
    session.add(row)
    session.flush()
    audit.record(session, actor, "announcement", row.id, now, after={"title": title, "body": body})
    notices.tell(session, notices.members(session), title, body, now, row.id)
    return row


def announcements(session: Session) -> list[Announcement]:
    """All of them, the latest first."""
    return list(session.scalars(select(Announcement).order_by(Announcement.created.desc(), Announcement.id)))
