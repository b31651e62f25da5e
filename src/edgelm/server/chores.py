"""What a server does by itself, again and again, while it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from edgelm.server import packages, records
from edgelm.server.state import Server

_log = structlog.get_logger("edgelm.server")


def reap(server: Server) -> None:
    """Take jobs back from workers that fell silent."""
    with server.database.write() as session:
        records.reap(session, server.clock())


def tidy(server: Server) -> None:
    """Remove what requests that were killed left on the disk."""
    packages.sweep(server.storage)


CHORES: dict[Callable[[Server], None], float] = {reap: 10, tidy: 3600}  # and after how many seconds each is done again


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
