"""The queue of jobs: rows that workers lease for a time, and that come back by themselves from a worker that is silent.

    waiting ──lease──▶ leased ──finish──▶ done
       ▲                 │ ├──── fail ──▶ failed
       └─ give back, reap┘ └─── cancel ─▶ cancelled

Each lease has a number that only grows, the fence. Whatever a worker writes bears it, and what bears an old one is
refused: a worker that slept until its job was taken back changes nothing. A job whose worker was lost, or whose
platform failed, waits again, `AGAIN` times at the most. Heartbeats and progress are not in the audit log: they change
no one's fortune, and would drown what does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from edgelm.server import audit
from edgelm.server.audit import Actor
from edgelm.server.clock import SECOND
from edgelm.server.leases import Leases
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.tables import Job, Line, Progress, Switch, Worker

Kind = Literal["check", "evaluate", "smoke"]
WAITING, LEASED, DONE, FAILED, CANCELLED = "waiting", "leased", "done", "failed", "cancelled"
AGAIN = 3  # times that a job waits again after a fault of the platform
MOST_LINES = 5000  # of a job's log
LONGEST_LINE = 500  # characters
SILENT = "its worker was not heard of any more"
_PAUSED = "leasing-paused"


def enqueue(
    session: Session, actor: Actor, *, key: str, submission_id: str, kind: Kind, now: int,
    tags: Iterable[str] = (), priority: int = 0,
) -> Job:  # fmt: skip
    """A job that waits; the one of that key, if there is one already.

    Args:
        session: a writing one.
        actor: who wants it done.
        key: of what is done, such as `evaluate/SUBMISSION/1`.
        submission_id: that it is about.
        kind: what a worker does with it.
        now: microseconds.
        tags: that its worker must have.
        priority: the largest first; of equals, the oldest.
    """
    if known := session.scalars(select(Job).where(Job.key == key)).first():
        return known
    job = Job(key=key, submission_id=submission_id, kind=kind, tags=sorted(set(tags)), priority=priority,
              state=WAITING, created=now)  # fmt: skip
    session.add(job)
    session.flush()
    audit.record(session, actor, "job.enqueue", job.id, now, after={"key": key, "kind": kind})
    return job


def lease(
    session: Session, worker: Worker, seconds: int, now: int, tags: Iterable[str] = (), request: str = ""
) -> Job | None:
    """The job that is the worker's for so many seconds, or until its next heartbeat.

    None if none waits for it, or leasing is paused.

    Args:
        session: a writing one.
        worker: who asks.
        seconds: of silence after which the job is another's.
        now: microseconds.
        tags: of what the worker has, beside those that it was entered with.
        request: what the job is leased by; see `leased_by`.
    """
    session.get_one(Worker, worker.name).seen = now
    if paused(session):
        return None
    has = {*worker.tags, *tags}
    waiting = (
        select(Job.id, Job.tags)
        .where(Job.state == WAITING, Job.not_before <= now)
        .order_by(Job.priority.desc(), Job.created, Job.id)
    )
    first = next((id for id, needs in session.execute(waiting) if set(needs) <= has), None)
    if first is None:
        return None
    job = session.get_one(Job, first)
    job.state, job.worker, job.asked, job.leased = LEASED, worker.name, request, now
    job.lease_ends = now + seconds * SECOND
    job.attempt, job.fence = job.attempt + 1, job.fence + 1
    audit.record(session, actor_of(worker), "job.lease", job.id, now, after={"fence": job.fence})
    return job


def leased_by(session: Session, worker: Worker, request: str) -> Job | None:
    """The job that the worker leased by a request whose answer it may not have had; None if there is none."""
    mine = select(Job).where(Job.state == LEASED, Job.worker == worker.name, Job.asked == request)
    return session.scalars(mine).first() if request else None


def held(session: Session, worker: Worker, job_id: str, fence: int) -> Job:
    """A job that is the worker's, and is until it is taken back.

    Raises:
        NotThere: there is no such job.
        Conflict: it is not the worker's, or not any more.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotThere(f"there is no job {job_id}")
    if job.state != LEASED or (job.worker, job.fence) != (worker.name, fence):
        raise Conflict(f"job {job_id} is not leased to {worker.name} by number {fence}",
                       why="the lease ended, or the job was cancelled", mend="drop it and lease another")  # fmt: skip
    return job


def heartbeat(session: Session, job: Job, seconds: int, now: int) -> None:
    """Its worker is alive: the lease goes on from now."""
    job.lease_ends = now + seconds * SECOND
    session.execute(update(Worker).where(Worker.name == job.worker).values(seen=now))


def progress(session: Session, job: Job, part: str, done: int, of: int, now: int, blob: str | None = None) -> None:
    """So much of a part is done. `blob` is the digest of what came of it, once it is whole: that is kept for good."""
    row = session.get(Progress, (job.id, part))
    if row is None:
        session.add(Progress(job_id=job.id, part=part, done=done, of=of, blob=blob, changed=now))
    else:
        row.done, row.of, row.blob, row.changed = done, of, blob or row.blob, now
    session.flush()


def say(session: Session, job: Job, lines: Sequence[str], now: int) -> None:
    """Add lines to a job's log, cut and without control characters; those beyond the most are left out."""
    last = session.scalar(select(func.max(Line.number)).where(Line.job_id == job.id)) or 0
    for number, text in enumerate(lines[: max(0, MOST_LINES - last)], start=last + 1):
        plain = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_LINE])
        session.add(Line(job_id=job.id, number=number, time=now, text=plain))
    session.flush()


def finish(session: Session, job: Job, result: str, now: int) -> None:
    """Its worker is done; `result` is the digest of the blob that has what was found."""
    worker = job.worker
    _end(job, DONE, now)
    job.cause, job.result = "", result
    audit.record(session, Actor(f"worker:{worker}", "worker"), "job.finish", job.id, now, after={"result": result})


def fail(session: Session, actor: Actor, job: Job, cause: str, now: int) -> None:
    """It cannot be done, and is not tried again."""
    _end(job, FAILED, now)
    job.cause = cause
    audit.record(session, actor, "job.fail", job.id, now, reason=cause)


def give_back(
    session: Session, actor: Actor, job: Job, cause: str, now: int, *, counts: bool = True, not_before: int = 0
) -> bool:
    """The platform failed, or its worker leaves: it waits again, or has failed if that was once too often.

    Args:
        session: a writing one.
        actor: who gives it back.
        job: a leased one.
        cause: a sentence.
        now: microseconds.
        counts: whether it was tried; it was not by a worker that merely leaves.
        not_before: when it may be leased again.

    Returns:
        Whether it waits again.
    """
    if not counts:
        job.attempt -= 1
    elif job.attempt > AGAIN:
        fail(session, actor, job, cause, now)
        return False
    _end(job, WAITING, None)
    job.cause, job.not_before = cause, not_before
    audit.record(session, actor, "job.give-back", job.id, now, reason=cause)
    return True


def silent(session: Session, leases: Leases) -> list[Job]:
    """The jobs whose workers were silent until their leases ended."""
    return leases.silent(session.scalars(select(Job).where(Job.state == LEASED).order_by(Job.id)))


def cancel(session: Session, actor: Actor, submission_id: str, now: int, reason: str = "") -> list[Job]:
    """Cancel what a submission still has in the queue. A worker that has it is told at its next heartbeat."""
    open_ = or_(Job.state == WAITING, Job.state == LEASED)
    jobs = list(session.scalars(select(Job).where(Job.submission_id == submission_id, open_)))
    for job in jobs:
        _end(job, CANCELLED, now)
        audit.record(session, actor, "job.cancel", job.id, now, reason=reason)
    return jobs


def has_result(session: Session, submission_id: str) -> bool:
    """Whether an evaluation of a submission has ended well, whatever came after that."""
    done = select(Job.id).filter_by(submission_id=submission_id, kind="evaluate", state=DONE)
    return session.scalar(done.limit(1)) is not None


def place(session: Session, job: Job) -> int:
    """How many jobs are before a waiting one, whatever their tags."""
    return session.scalar(select(func.count()).select_from(Job).where(*before(job))) or 0


def before(job: Job) -> tuple[ColumnElement[bool], ...]:
    """What is true of the jobs that are before a waiting one."""
    earlier = (Job.priority == job.priority) & (Job.created < job.created)
    return Job.state == WAITING, or_(Job.priority > job.priority, earlier)


def paused(session: Session) -> Switch | None:
    """Since when no job is leased, and why; None while they are."""
    return session.get(Switch, _PAUSED)


def pause(session: Session, actor: Actor, reason: str, now: int) -> None:
    """Lease no job from now on; those that are leased go on."""
    if paused(session) is None:
        session.add(Switch(name=_PAUSED, since=now, reason=reason))
        audit.record(session, actor, "queue.pause", "queue", now, reason=reason)


def resume(session: Session, actor: Actor, reason: str, now: int) -> None:
    """Lease jobs again."""
    if switch := paused(session):
        session.delete(switch)
        audit.record(session, actor, "queue.resume", "queue", now, reason=reason)


def actor_of(worker: Worker) -> Actor:
    """A worker as the audit log names it."""
    return Actor(f"worker:{worker.name}", "worker")


def _end(job: Job, state: str, ended: int | None) -> None:
    job.state, job.ended, job.lease_ends = state, ended, None
