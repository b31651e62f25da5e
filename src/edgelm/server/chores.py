"""What a server does by itself, again and again, while it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import structlog

from edgelm.server import (
    audit_heads,
    boards,
    duplicates,
    mail,
    outbox,
    packages,
    posting,
    records,
    references,
    scrub,
    uploads,
)
from edgelm.server.state import Server

_log = structlog.get_logger("edgelm.server")


def reap(server: Server) -> None:
    """Take jobs back from workers that fell silent."""
    with server.database.write() as session:
        records.reap(session, server.leases, server.clock())


def tidy(server: Server) -> None:
    """Remove what requests that were killed left on the disk."""
    packages.sweep(server.storage)


def expire(server: Server) -> None:
    """Give up uploads that nobody has gone on with."""
    with server.database.write() as session:
        uploads.expire(session, server.storage, server.clock())


def clean(server: Server) -> None:
    """Remove files that nothing names, and say which are lost."""
    with server.database.write() as session:
        found = scrub.scrub(session, server.storage, server.clock())
    if found.lost:
        _log.error("files are lost", digests=found.lost)
    if found.removed:
        _log.info("files were removed", digests=found.removed)


def follow(server: Server) -> None:
    """Publish what boards have come to."""
    boards.follow(server)


def keep_head(server: Server) -> None:
    """Keep, once a day, where the audit log ends."""
    audit_heads.keep(server)


def compare(server: Server) -> None:
    """Hold what was evaluated against the packages of other teams, and against the uncompressed bases."""
    duplicates.compare(server)
    references.compare(server)


def send_mail(server: Server) -> None:
    """Send what waits to go out by mail; nothing waits for it where none is set up."""
    outbox.forget(server)
    if server.settings.smtp_host:
        outbox.send(server, "mail", partial(mail.carry, settings=server.settings))
    else:
        outbox.give_up(server, "mail")


def post(server: Server) -> None:
    """Post what waits for webhooks."""
    outbox.send(server, "webhook", posting.Post(server))


# And after how many seconds each is done again.
CHORES: dict[Callable[[Server], None], float] = {
    reap: 10,
    follow: 2,
    compare: 10,
    send_mail: 5,
    post: 5,
    keep_head: 3600,
    tidy: 3600,
    expire: 3600,
    clean: 24 * 3600,
}


@contextmanager
def doing(server: Server, chores: Mapping[Callable[[Server], None], float] = CHORES) -> Iterator[None]:
    """Do chores, each in a thread of its own, until the block ends. What fails is logged and tried again."""
    ended = threading.Event()

    def again(chore: Callable[[Server], None], seconds: float) -> None:
        while not ended.is_set():
            try:
                chore(server)
            except Exception as error:  # of whatever kind: the next time may be better
                _log.error("chore failed", chore=chore.__name__, error=repr(error))
            ended.wait(seconds)

    threads = [threading.Thread(target=again, args=each, name=each[0].__name__) for each in chores.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
