"""The queue as organisers see it and change it, and evaluations that they have run anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.server import accounts, operations, queue, states
from edgelm.server.api.admin import WorkerView
from edgelm.server.calling import Asking, Calling, Done, Served
from edgelm.server.fields import Body, Prose
from edgelm.server.idempotency import Call
from edgelm.server.operations import MOST_PRIORITY
from edgelm.server.tables import Job

router = APIRouter(prefix="/admin", tags=["operations"])
_MOST = 500  # jobs of a state that are shown


class JobView(Body):
    """A job. Times are microseconds of UTC; `before` is how many are before it while it waits."""

    id: str
    kind: str
    submission: str
    title: str
    team: str
    state: str
    priority: int
    tags: list[str]
    attempt: int
    fence: int
    worker: str | None
    lease_ends: int | None
    not_before: int  # it is not leased until then
    created: int
    ended: int | None
    cause: str  # why its last lease gave no result
    before: int | None

    @classmethod
    def of(cls, job: Job, before: int | None = None) -> JobView:
        """A job as organisers see it."""
        names = ("id", "kind", "state", "priority", "tags", "attempt", "fence", "worker", "lease_ends",
                 "not_before", "created", "ended", "cause")  # fmt: skip
        one = job.submission
        return cls(**{name: getattr(job, name) for name in names}, submission=one.id, title=one.title,
                   team=one.team.name, before=before)  # fmt: skip


class FailuresView(Body):
    """How many submissions ended so."""

    state: str
    code: str
    fault: str
    submissions: int


class Paused(Body):
    """Since when no job is leased, and why."""

    since: int
    reason: str


class QueueView(Body):
    """The queue: who works, what waits and runs, what failed lately, and by which causes."""

    paused: Paused | None
    workers: list[WorkerView]
    waiting: list[JobView]
    leased: list[JobView]
    failed: list[JobView]
    failures: list[FailuresView]


class Why(Body):
    """Why an organiser does it; kept in the audit log."""

    reason: Prose


class Priority(Why):
    """The order of a job: the largest first, 0 as it was."""

    priority: Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)]


class SubmissionState(Body):
    """A submission and what it is now."""

    submission: str
    state: str


def queue_view(session: Session) -> QueueView:
    """The queue as it is now."""
    switch = queue.paused(session)
    return QueueView(
        paused=Paused(since=switch.since, reason=switch.reason) if switch else None,
        workers=[WorkerView.of(worker) for worker in accounts.workers(session)],
        waiting=[JobView.of(job, place) for place, job in enumerate(operations.jobs(session, queue.WAITING, _MOST))],
        leased=[JobView.of(job) for job in operations.jobs(session, queue.LEASED, _MOST)],
        failed=[JobView.of(job) for job in operations.jobs(session, queue.FAILED, _MOST)],
        failures=[FailuresView(**each._asdict()) for each in operations.failures(session)],
    )  # fmt: skip


@router.get("/queue", response_model=QueueView)
def show(server: Served, who: Asking) -> QueueView:
    """The queue."""
    who.require("organiser")
    with server.database.read() as session:
        return queue_view(session)


@router.post("/queue/pause", response_model=Done)
def pause(body: Why, calling: Calling) -> Response:
    """Lease no job from now on; those that are leased go on."""
    calling.viewer.require("organiser")

    def work(session: Session) -> Done:
        queue.pause(session, calling.viewer.actor, body.reason, calling.now)
        return Done()

    return calling.once(work, 200)


@router.post("/queue/resume", response_model=Done)
def resume(body: Why, calling: Calling) -> Response:
    """Lease jobs again."""
    calling.viewer.require("organiser")

    def work(session: Session) -> Done:
        queue.resume(session, calling.viewer.actor, body.reason, calling.now)
        return Done()

    return calling.once(work, 200)


@router.post("/jobs/{job}/requeue", response_model=JobView)
def requeue(job: str, body: Why, calling: Calling) -> Response:
    """Have a job that failed tried again."""
    calling.viewer.require("organiser")
    return calling.once(
        lambda session: JobView.of(
            operations.requeue(session, calling.server, calling.viewer.actor, job, body.reason, calling.now)
        ),
        200,
    )


@router.post("/jobs/{job}/priority", response_model=JobView)
def prioritise(job: str, body: Priority, calling: Calling) -> Response:
    """Put a job that waits before others, or behind them."""
    calling.viewer.require("organiser")
    return calling.once(
        lambda session: JobView.of(
            operations.prioritise(session, calling.viewer.actor, job, body.priority, body.reason, calling.now)
        ),
        200,
    )


@router.post("/submissions/{submission}/rerun", status_code=201, response_model=JobView)
def rerun(submission: str, body: Why, calling: Calling) -> Response:
    """Evaluate a submission anew; its old result is kept, and it takes a slot again if it had lost its own."""
    calling.viewer.require("organiser")
    return calling.once(
        lambda session: JobView.of(
            operations.rerun(session, calling.server, calling.viewer.actor, submission, body.reason, calling.now)
        )
    )


@router.post("/submissions/{submission}/rescore", status_code=201, response_model=JobView)
def rescore(submission: str, body: Why, calling: Calling) -> Response:
    """Mark the answers of a scored submission anew; none is asked again."""
    calling.viewer.require("organiser")
    return calling.once(
        lambda session: JobView.of(
            operations.rescore(session, calling.server, calling.viewer.actor, submission, body.reason, calling.now)
        )
    )


@router.post("/submissions/{submission}/cancel", response_model=SubmissionState)
def cancel(submission: str, body: Why, calling: Calling) -> Response:
    """End a submission that has not ended; its slot is free again."""
    calling.viewer.require("organiser")
    return calling.once(lambda session: _cancelled(session, calling, submission, body.reason), 200)


def _cancelled(session: Session, calling: Call, submission: str, reason: str) -> SubmissionState:
    found = operations.submission_of(session, submission)
    states.cancel(session, calling.viewer.actor, found, reason, calling.now)
    return SubmissionState(submission=found.id, state=found.state)
