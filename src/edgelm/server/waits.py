"""How long a job will wait, about: by its place, how long jobs of each kind took lately, and who is at work."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace
from statistics import median
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.server import queue
from edgelm.server.clock import SECOND
from edgelm.server.tables import Job, Worker

_LAST = 20  # jobs of a kind whose times are looked at


class Wait(NamedTuple):
    """How long a job waits until a worker takes it."""

    time: int | None  # microseconds from now on; None if that is not known
    unknown: str = ""  # why it is not


def estimate(session: Session, job: Job, lease_seconds: int, now: int) -> Wait:
    """How long a job that waits will go on waiting, about.

    Each job before it, and each that runs, is taken to need what the median of the last of its kind did.

    Args:
        session: any.
        job: which waits.
        lease_seconds: of silence after which a worker is not at work any more.
        now: microseconds.
    """
    if queue.paused(session):
        return Wait(None, "the queue is paused")
    running = list(session.scalars(select(Job).where(Job.state == queue.LEASED)))
    places = max(_at_work(session, lease_seconds, now), len(running))  # a worker may do several at once
    if not places:
        return Wait(None, "no worker is at work")
    ahead = list(session.scalars(select(Job).where(*queue.before(job), Job.not_before <= now)
                                 .order_by(Job.priority.desc(), Job.created)))  # fmt: skip
    lengths = {kind: _length(session, kind) for kind in {each.kind for each in (*running, *ahead)}}
    known = {kind: length for kind, length in lengths.items() if length is not None}
    if len(known) < len(lengths):
        return Wait(None, "no job like those before it has ended yet")
    return Wait(max(_turn(running, ahead, known, places, now), job.not_before - now))


def _turn(running: Sequence[Job], ahead: Sequence[Job], lengths: dict[str, int], places: int, now: int) -> int:
    """When a place is free for what comes behind, each job taking the first that is."""
    free = [max(0, lengths[each.kind] - (now - (each.leased or now))) for each in running]
    free += [0] * (places - len(running))
    heapify(free)
    for each in ahead:
        heapreplace(free, free[0] + lengths[each.kind])
    return free[0]


def _at_work(session: Session, lease_seconds: int, now: int) -> int:
    """How many workers were heard of lately."""
    heard = select(func.count()).select_from(Worker).where(~Worker.disabled, Worker.seen > now - lease_seconds * SECOND)
    return session.scalar(heard) or 0


def _length(session: Session, kind: str) -> int | None:
    """What the median of the last jobs of a kind took; None if none was done."""
    took = select(Job.ended - Job.leased).where(Job.state == queue.DONE, Job.kind == kind, Job.leased.is_not(None))
    times = [time for time in session.scalars(took.order_by(Job.ended.desc()).limit(_LAST)) if time is not None]
    return int(median(times)) if times else None
