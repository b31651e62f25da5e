"""Whether anything has happened to the submissions that are watched: one look for all who watch, not one for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from edgelm.server.database import Database
from edgelm.server.leases import Steady
from edgelm.server.tables import Job, Progress, Submission

Mark = tuple[object, ...]  # another one says that something has happened


class Watch:
    """The marks of all submissions that are watched; kept in memory, for the server is one process.

    Args:
        steady: seconds that never go back.
    """

    def __init__(self, steady: Steady) -> None:
        self._steady = steady
        self._watched = Counter[str]()
        self._marks: dict[str, Mark] = {}
        self._looked = float("-inf")

    @contextmanager
    def of(self, submission: str) -> Iterator[None]:
        """Watch a submission while the block runs."""
        self._watched[submission] += 1
        try:
            yield
        finally:
            self._watched[submission] -= 1
            self._watched += Counter()  # drops those that nobody watches

    async def mark(self, database: Database, submission: str, age: float) -> Mark:
        """What a submission's mark was when the tables were looked at last.

        Whoever finds that look older than `age` seconds looks for all; the others need not wait for it.
        """
        if self._steady() - self._looked >= age:
            self._looked = self._steady()
            self._marks = await run_in_threadpool(marks, database, tuple(self._watched))
        return self._marks.get(submission, ())


def marks(database: Database, submissions: tuple[str, ...]) -> dict[str, Mark]:
    """The marks of submissions: what of them, of their jobs and of these jobs' parts changes as they go on."""
    one, job = Submission, Job
    rows = select(one.id, one.state, one.stage, one.code, one.sentence, one.fault, one.review, one.changed)
    jobs = select(job.submission_id, job.id, job.state, job.attempt, job.fence, func.max(Progress.changed))
    jobs = jobs.outerjoin(Progress, Progress.job_id == job.id).group_by(job.id).order_by(job.id)
    found: dict[str, Mark] = {}
    with database.read() as session:
        for id, *rest in session.execute(rows.where(one.id.in_(submissions))):
            found[id] = tuple(rest)
        for id, *rest in session.execute(jobs.where(job.submission_id.in_(submissions))):
            found[id] += tuple(rest)
    return found
