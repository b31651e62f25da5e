"""What organisers do with the queue and with evaluations: look, requeue, put forward, run anew, mark anew.

Run anew, a submission's models are asked again. Marked anew, its answers stay: the new job begins with all that the old
one had answered and measured. Either way the old job keeps its result. What had lost its slot takes one again.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.server import audit, queue, records, slots, states
from edgelm.server.audit import Actor
from edgelm.server.journals import Journals
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.state import Server
from edgelm.server.tables import Job, Phase, Progress, Submission

MOST_PRIORITY = 1000


class Failures(NamedTuple):
    """How many submissions ended so."""

    state: str  # failed, refused
    code: str
    fault: str
    submissions: int


def jobs(session: Session, state: str, most: int) -> list[Job]:
    """The jobs in a state: those that wait in the order in which they are leased, others the latest first."""
    order = [Job.priority.desc(), Job.created] if state == queue.WAITING else [Job.created.desc()]
    return list(session.scalars(select(Job).filter_by(state=state).order_by(*order, Job.id).limit(most)))


def failures(session: Session) -> list[Failures]:
    """What submissions ended by, the commonest first."""
    of = (Submission.state, Submission.code, Submission.fault)
    counted = select(*of, func.count()).where(Submission.state.in_(("failed", "refused"))).group_by(*of)
    return sorted((Failures(*row) for row in session.execute(counted)), key=lambda each: (-each.submissions, each))


def requeue(session: Session, server: Server, actor: Actor, job_id: str, reason: str, now: int) -> Job:
    """Have a job that failed tried again, from where it was. It takes a slot again, if it had lost its own.

    Raises:
        NotThere: there is no such job.
        Conflict: it has not failed, another has come after it, or no slot is free.
    """
    job = found(session, job_id)
    if job.state != queue.FAILED:
        raise Conflict(f"job {job_id} is {job.state}", why="only what has failed is tried again")
    submission = job.submission
    newer = select(Job.id).where(Job.submission_id == submission.id, Job.kind == job.kind, Job.created > job.created)
    if session.scalars(newer).first():
        raise Conflict(f"another job came after {job_id}", mend="requeue the last one")
    states.move(session, actor, submission, "checking" if job.kind == records.CHECK else "queued", now, sentence=reason)
    _hold_slot(session, server, submission)
    job.state, job.attempt, job.ended, job.cause, job.not_before = queue.WAITING, 0, None, "", 0
    audit.record(session, actor, "job.requeue", job.id, now, reason=reason)
    return job


def prioritise(session: Session, actor: Actor, job_id: str, priority: int, reason: str, now: int) -> Job:
    """Put a job that waits before others, or behind them.

    Raises:
        NotThere: there is no such job.
        Conflict: it does not wait.
    """
    job = found(session, job_id)
    if job.state != queue.WAITING:
        raise Conflict(f"job {job_id} is {job.state}", why="only those that wait have an order")
    before, job.priority = job.priority, priority
    audit.record(session, actor, "job.priority", job.id, now, before=before, after=priority, reason=reason)
    return job


def rerun(session: Session, server: Server, actor: Actor, submission_id: str, reason: str, now: int) -> Job:
    """Evaluate a submission anew, from the first question on. It takes a slot again, if it had lost its own.

    Raises:
        NotThere: there is no such submission.
        Conflict: it is not one whose evaluation has ended, or no slot is free.
    """
    submission = submission_of(session, submission_id)
    before = _evaluations(session, submission)
    if not before:
        raise Conflict(f"submission {submission_id} was never evaluated")
    if submission.state not in states.ENDED:
        raise Conflict(f"submission {submission_id} is {submission.state}", why="its evaluation has not ended",
                       mend="wait until it has, or cancel it")  # fmt: skip
    if submission.state != records.SCORED:  # what counts has its slot
        _hold_slot(session, server, submission)
    job = records.evaluation(session, actor, submission, len(before) + 1, now)
    audit.record(session, actor, "submission.rerun", submission.id, now, after=job.id, reason=reason)
    return job


def rescore(session: Session, server: Server, actor: Actor, submission_id: str, reason: str, now: int) -> Job:
    """Mark the answers of a submission anew: none is asked again, and the speed stays as it was measured.

    Raises:
        NotThere: there is no such submission.
        Conflict: it is not scored.
    """
    submission = submission_of(session, submission_id)
    done = [job for job in _evaluations(session, submission) if job.state == queue.DONE]
    if submission.state != records.SCORED or not done:
        raise Conflict(f"submission {submission_id} is {submission.state}", why="only what is scored has all answers",
                       mend="have it run anew")  # fmt: skip
    job = rerun(session, server, actor, submission_id, reason, now)
    for part in session.scalars(select(Progress).filter_by(job_id=done[-1].id)):
        session.add(Progress(job_id=job.id, part=part.part, done=part.done, of=part.of, blob=part.blob, changed=now))
    Journals(server.settings.journals).copy(done[-1].id, job.id)
    audit.record(session, actor, "submission.rescore", submission.id, now, before=done[-1].id, after=job.id)
    return job


def found(session: Session, job_id: str) -> Job:
    """The job of that id.

    Raises:
        NotThere: there is none.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotThere(f"there is no job {job_id}")
    return job


def submission_of(session: Session, submission_id: str) -> Submission:
    """The submission of that id.

    Raises:
        NotThere: there is none.
    """
    submission = session.get(Submission, submission_id)
    if submission is None:
        raise NotThere(f"there is no submission {submission_id}")
    return submission


def _hold_slot(session: Session, server: Server, submission: Submission) -> None:
    """Have a submission of the scored phase hold a slot.

    Raises:
        Conflict: it holds none, and none is free.
    """
    if session.get_one(Phase, submission.phase).kind == records.SCORED and not slots.holds(session, submission):
        slots.reserve(session, server.rules, submission)


def _evaluations(session: Session, submission: Submission) -> list[Job]:
    """All evaluations of a submission, oldest first."""
    of = select(Job).where(Job.submission_id == submission.id, Job.kind == records.EVALUATE)
    return list(session.scalars(of.order_by(Job.created, Job.id)))
