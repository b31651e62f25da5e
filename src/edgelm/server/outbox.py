"""The outbox: messages of a channel go out one after another, and again with growing waits until they are taken.

A message is claimed in a transaction of its own before it is sent, so that two servers on one database never send the
same. The claim ends by itself: what a process had claimed when it was killed is sent again. Each message is thus sent
at least once, and twice only where the process died between the other side's word and our note of it; it bears the
same id then, by which a reader knows it again.

Targets take turns: after each message to one, whatever came of it, what else waits for it is due from then on, and so
comes after all that was due before. However much one is sent, and however slow it is, no message waits for more than
one to each of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from edgelm.server.clock import DAY, SECOND
from edgelm.server.state import Server
from edgelm.server.tables import Notice

PASS = 10.0  # seconds after which `send` returns, so that a server can end
CLAIM = 600 * SECOND  # much longer than sending one takes
FIRST, LONGEST = 60 * SECOND, 3600 * SECOND  # between tries: each wait is twice the one before
KEPT = 5 * DAY  # after which nobody waits for a message any more
_log = structlog.get_logger("edgelm.server")


class Undelivered(Exception):
    """A message was not taken.

    Attributes:
        others: whether others to the same place would not be taken now either.
        ever: whether it may be taken later.
    """

    def __init__(self, why: str, *, others: bool = False, ever: bool = True) -> None:
        super().__init__(why)
        self.others, self.ever = others, ever


Carry = Callable[[Notice], None]  # takes a message to where it goes, or raises `Undelivered`


def send(server: Server, channel: str, carry: Carry) -> int:
    """Send what waits in a channel and is due, or a part of it; how many messages were taken.

    Args:
        server: whose outbox it is.
        channel: mail or webhook.
        carry: how a message of that channel is sent, within less than `CLAIM`; it is outside of any transaction.
    """
    taken, until = 0, time.monotonic() + PASS
    while time.monotonic() < until and (notice := _claimed(server, channel)) is not None:
        failure = _carried(notice, carry)
        with server.database.write() as session:
            _settle(session, notice, failure, server.clock())
        taken += failure is None
    return taken


def waiting(session: Session, channel: str, now: int, *which: ColumnElement[bool]) -> int:
    """How many messages of a channel (of them, which) wait to be sent, now or later; not those that were given up."""
    later = or_(Notice.next_try.is_(None), Notice.next_try < Notice.created + KEPT)
    return session.scalar(select(func.count()).select_from(Notice).where(*_unsent(channel, now), later, *which)) or 0


def give_up(server: Server, channel: str) -> None:
    """Give up what waits in a channel that nothing is sent by, and forget the links, which bear secrets."""
    later = or_(Notice.next_try.is_(None), Notice.next_try < Notice.created + KEPT)
    waits = (Notice.channel == channel, Notice.sent.is_(None), later)
    with server.database.read() as session:  # most of the time there is none, as in `_claimed`
        if session.scalars(select(Notice.id).where(*waits).limit(1)).first() is None:
            return
    with server.database.write() as session:
        session.execute(update(Notice).where(*waits).values(next_try=Notice.created + KEPT, link=""))


def forget(server: Server) -> None:
    """Forget the links of messages that are sent no more: they bear secrets, and some are good for longer."""
    over = (Notice.link != "", Notice.created <= server.clock() - KEPT)
    with server.database.read() as session:
        if session.scalars(select(Notice.id).where(*over).limit(1)).first() is None:
            return
    with server.database.write() as session:
        session.execute(update(Notice).where(*over).values(link=""))


def _claimed(server: Server, channel: str) -> Notice | None:
    """The next message that is due; for the time of the claim it is nobody else's."""
    now = server.clock()
    due = select(Notice).where(*_unsent(channel, now), or_(Notice.next_try.is_(None), Notice.next_try <= now))
    with server.database.read() as session:  # most of the time there is none, and no writer need wait to learn it
        if session.scalars(due.limit(1)).first() is None:
            return None
    with server.database.write() as session:
        since = func.coalesce(Notice.next_try, Notice.created)
        notice = session.scalars(due.order_by(since, Notice.tries, Notice.created, Notice.id).limit(1)).first()
        if notice is not None:
            notice.tries, notice.next_try = notice.tries + 1, now + CLAIM
        return notice


def _unsent(channel: str, now: int) -> tuple[ColumnElement[bool], ...]:
    return Notice.channel == channel, Notice.sent.is_(None), Notice.created > now - KEPT


def _carried(notice: Notice, carry: Carry) -> Undelivered | None:
    try:
        carry(notice)
    except Undelivered as failure:
        return failure
    except Exception as error:  # of whatever kind: this one waits, the others go on
        return Undelivered(repr(error))
    return None


def _settle(session: Session, notice: Notice, failure: Undelivered | None, now: int) -> None:
    """Note what became of a message that was claimed; the turn is another target's."""
    this, same = update(Notice).where(Notice.id == notice.id), Notice.target == notice.target
    _put_off(session, now, *_unsent(notice.channel, now), same)
    if failure is None:
        session.execute(this.values(sent=now, next_try=None, link=""))
        return
    _log.warning("not delivered", notice=notice.id, channel=notice.channel, tries=notice.tries, error=str(failure))
    if not failure.ever:
        session.execute(this.values(next_try=notice.created + KEPT, link=""))
        return
    until = now + min(LONGEST, FIRST << min(notice.tries - 1, 10))
    session.execute(this.values(next_try=until))
    if failure.others:
        place = () if notice.channel == "mail" else (same,)
        _put_off(session, until, *_unsent(notice.channel, now), *place)


def _put_off(session: Session, until: int, *which: ColumnElement[bool]) -> None:
    """Have messages be due from then on, unless they are later."""
    earlier = or_(Notice.next_try.is_(None), Notice.next_try < until)
    session.execute(update(Notice).where(*which, earlier).values(next_try=until))
