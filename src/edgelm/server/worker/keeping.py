"""Keeping a lease while the work goes on: a thread that says every few seconds that the worker is alive."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from edgelm.errors import EdgelmError
from edgelm.server.worker.calls import Calls, Job, Lost

MOST_SECONDS = 15.0  # between two signs of life


class Stopped(BaseException):
    """The worker was asked to end: its job goes back to the queue."""


class Keeping:
    """The lease of a job, kept while the block runs.

    Args:
        calls: to the server.
        job: that is leased.
        leave: is set once the worker is to give it back.
    """

    def __init__(self, calls: Calls, job: Job, leave: threading.Event | None = None) -> None:
        self._calls, self._job, self._leave = calls, job, leave or threading.Event()
        self._over, self._lost = threading.Event(), threading.Event()
        self._alive = time.monotonic()  # when the server last heard of this worker: by this machine's own clock
        self._thread = threading.Thread(target=self._run, name=f"keeping-{job.id}", daemon=True)

    def hold(self) -> None:
        """Go on only while the lease holds.

        Raises:
            Lost: it does not, as far as can be known here.
            Stopped: the job is to be given back.
        """
        if self._leave.is_set():
            raise Stopped
        if self._lost.is_set() or time.monotonic() - self._alive > self._job.lease_seconds:
            raise Lost(f"the lease of job {self._job.id} is lost", why="the server was not reached in time, or gave it "
                       "to another", mend="nothing: another worker goes on with it")  # fmt: skip

    def __enter__(self) -> Keeping:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(min(MOST_SECONDS, self._job.lease_seconds / 4)):
            sent = time.monotonic()
            try:
                self._calls.heartbeat(self._job)
            except Lost:
                self._lost.set()
                return
            except EdgelmError:  # the server is away: `hold` knows for how long
                continue
            self._alive = sent
