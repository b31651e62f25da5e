"""What organisers publish: rule sets and announcements."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.rules.base import Rules
from edgelm.server import audit, notices
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.tables import Announcement, Revision, RuleSet, Submission

_FIRST = "as set when the server was first started"
_LATEST_FIRST = select(RuleSet.body).order_by(RuleSet.since.desc(), RuleSet.digest)


def in_force(session: Session) -> str:
    """The rules in force, as published; empty before the first."""
    return session.scalars(_LATEST_FIRST.limit(1)).first() or ""


def bring_rules(session: Session, rules: Rules, reason: str, now: int) -> str:
    """Put the operator's rules in force where there are none, or in the place of others, which takes a reason.

    Where the operator asks for the same as last time, those stay that organisers have published since.

    Returns:
        The digest of those whose place they took; empty if nothing was changed.

    Raises:
        Conflict: no reason is given, or a board was frozen under others, and is not final yet.
    """
    brought = select(RuleSet).where(RuleSet.by_settings.is_not(None)).order_by(RuleSet.by_settings.desc()).limit(1)
    last = session.scalars(brought).first()
    if last is not None and last.digest == rules.digest:
        return ""
    before = next((each.digest for each in rule_sets(session)), "")
    if before not in ("", rules.digest) and not reason:
        raise Conflict("the settings ask for other rules than those in force",
                       why=f"{rules.name} has the digest {rules.digest[:12]}…, in force are {before[:12]}…",
                       mend="take rules out of the settings, and those in force stay; or say why they change in "
                       "rules_reason, which all teams are told")  # fmt: skip
    publish_rules(session, SYSTEM, rules, reason or _FIRST, now)
    session.get_one(RuleSet, rules.digest).by_settings = now
    return before if before != rules.digest else ""


def publish_rules(session: Session, actor: Actor, rules: Rules, reason: str, now: int) -> None:
    """Put rules in force and tell all teams; nothing is done if they are in force.

    Raises:
        Conflict: a board was frozen under others, and is not final yet.
    """
    latest = rule_sets(session)[:1]
    if latest and latest[0].digest == rules.digest:
        return
    if tracks := _standing(session):
        raise Conflict(f"the board of {tracks[0]} is frozen", why="no rules replace others after that",
                       mend="void a task, or wait until it is final")  # fmt: skip
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


def _standing(session: Session) -> list[str]:
    """The tracks whose boards were frozen and are not final yet; where nothing was handed in, none stands."""
    used = select(Submission.track)
    frozen, final = (
        set(session.scalars(select(Revision.track).where(Revision.state == state, Revision.track.in_(used))))
        for state in ("frozen", "final")
    )
    return sorted(frozen - final)
