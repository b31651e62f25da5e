"""Where the audit log ended on each day, signed where the operator has a key, and published.

Whoever keeps what was published knows a log that was rewritten, or restored from an old backup, however well its chain
holds in itself. The heads are about the log, and no entries of it.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.score.signature import private_key
from edgelm.server import audit
from edgelm.server.clock import DAY
from edgelm.server.state import Server
from edgelm.server.tables import Audit, Head


def text(number: int, hash: str, created: int) -> bytes:
    """What is signed of a head."""
    return f"edgelm audit log, entry {number}, sha256 {hash}, at {created}\n".encode()


def keep(server: Server) -> None:
    """Keep the head of a day that has none yet.

    Raises:
        MissingInput, BadFile: the operator's key cannot be read.
    """
    now = server.clock()
    with server.database.read() as session:
        last, (number, hash) = latest(session, 1), audit.head(session)
    if (last and (last[0].created // DAY == now // DAY or last[0].number == number)) or not number:
        return
    path = server.settings.signing_key
    signature = private_key(path).sign(text(number, hash, now)).hex() if path else ""
    with server.database.write() as session:
        session.merge(Head(number=number, hash=hash, created=now, signature=signature))


def latest(session: Session, most: int) -> list[Head]:
    """Heads, the latest first."""
    return list(session.scalars(select(Head).order_by(Head.number.desc()).limit(most)))


def first_break(session: Session) -> int | None:
    """The number of the first head that the log does not have as it was kept; None if it has them all."""
    known = select(Head.number).outerjoin(Audit, Audit.number == Head.number)
    broken = known.where(Audit.hash.is_(None) | (Audit.hash != Head.hash))
    return session.scalars(broken.order_by(Head.number).limit(1)).first()
