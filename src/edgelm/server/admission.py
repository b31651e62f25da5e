"""How much of something goes on at once, for one party and for all; the rest is asked to come again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from edgelm.server.refusals import TooOften


class Admission:
    """Places for what takes long; kept in memory, for the server is one process.

    Args:
        what: goes on, as those read who find no place.
        each: places that one party may have.
        all: places that there are.
        wait: seconds after which a place may be free.
    """

    def __init__(self, what: str, *, each: int, all: int, wait: int) -> None:
        self._what, self._each, self._all, self._wait = what, each, all, wait
        self._taken = Counter[str]()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, party: str) -> Iterator[None]:
        """A place while the block runs.

        Raises:
            TooOften: none is free.
        """
        with self._lock:
            if self._taken[party] >= self._each:
                raise TooOften(f"too much at once: {self._what}", why=f"you may have {self._each}", wait=self._wait)
            if self._taken.total() >= self._all:
                raise TooOften(f"too much at once: {self._what}", why="others have all places", wait=self._wait)
            self._taken[party] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[party] -= 1
                self._taken += Counter()  # drops those that have none
