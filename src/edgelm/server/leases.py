"""Which workers are silent, by the steady clock of this machine: steps of the time of day end no lease.

A server that has started anew gives all of them their time again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from edgelm.server.tables import Job

Steady = Callable[[], float]  # seconds since some moment


class Leases:
    """When each leased job was last heard of.

    Args:
        seconds: of silence that end a lease.
        steady: a clock that nobody sets.
    """

    def __init__(self, seconds: int, steady: Steady) -> None:
        self._seconds, self._steady = seconds, steady
        self._heard: dict[str, float] = {}
        self._lock = threading.Lock()

    def heard(self, job: Job) -> None:
        """The worker of a job gave a sign."""
        with self._lock:
            self._heard[job.id] = self._steady()

    def silent(self, leased: Iterable[Job]) -> list[Job]:
        """Those of all leased jobs of which nothing was heard for too long."""
        jobs = list(leased)
        with self._lock:
            now, before = self._steady(), self._heard
            self._heard = {job.id: before.get(job.id, now) for job in jobs}
            return [job for job in jobs if now - self._heard[job.id] >= self._seconds]
