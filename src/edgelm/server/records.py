"""What becomes of a submission when a job of its own starts, ends, fails or is lost, in the same transaction.

check      ──▶ refused, or accepted and queued: an evaluation waits
evaluation ──▶ running: its slot is spent
──▶ scored │ failed by the participant: the slot stays spent
──▶ queued again after a fault of the platform; failed after too many, and the slot is free again
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from sqlalchemy import delete
from sqlalchemy.orm import Session

from edgelm.archives.entries import shown
from edgelm.server import notices, queue, slots, states
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.clock import SECOND
from edgelm.server.leases import Leases
from edgelm.server.refusals import Conflict
from edgelm.server.tables import Finding, Job, Kept, Phase, Submission

CHECK, EVALUATE = "check", "evaluate"
SMOKE: queue.Kind = "smoke"
SCORED = "scored"  # the kind of phase whose packages are evaluated
Fault = Literal["platform", "participant"]
_log = structlog.get_logger("edgelm.server")
_PAUSES = (600, 1800, 5400)  # seconds before each further try of what needs a host that is away


def evaluation(
    session: Session, actor: Actor, submission: Submission, number: int, now: int, kind: queue.Kind = "evaluate"
) -> Job:
    """Queue the evaluation of a submission that was accepted; `number` tells reruns from the first, which has 1."""
    states.move(session, actor, submission, "queued", now)
    return queue.enqueue(session, actor, key=f"{kind}/{submission.id}/{number}", submission_id=submission.id,
                         kind=kind, now=now)  # fmt: skip


def taken(session: Session, actor: Actor, job: Job, now: int) -> None:
    """A worker has it: of an evaluation, the slot is spent."""
    if job.kind != CHECK:
        states.move(session, actor, job.submission, "running", now)
        slots.start(session, job.submission)


def checked(
    session: Session, actor: Actor, job: Job, findings: Sequence[dict[str, Any]], result: str, now: int
) -> None:
    """The checker has looked: what it found is kept, and the submission refused, or accepted and queued.

    Args:
        session: a writing one.
        actor: the worker.
        job: a check that it holds.
        findings: as `check.Finding.as_json` gives them, gravest first.
        result: digest of the blob that holds them.
        now: microseconds.
    """
    submission = job.submission
    queue.finish(session, job, result, now)
    session.execute(delete(Finding).where(Finding.submission_id == submission.id))
    session.add_all(Finding(submission_id=submission.id, number=number, body=body)
                    for number, body in enumerate(findings, start=1))  # fmt: skip
    grave = [each for each in findings if each["severity"] == "E"]
    if grave:
        slots.release(session, submission, "refusal")
        states.move(session, actor, submission, "refused", now, code=grave[0]["code"],
                    sentence=shown(grave[0]["what"]), fault="participant")  # fmt: skip
        return
    if any(each["severity"] == "R" for each in findings):
        submission.review = "open"
        notices.tell(session, notices.organisers(session), f"{submission.called}: a review is due",
                     "The checker found what a reviewer has to decide on.", now)  # fmt: skip
    states.move(session, actor, submission, "accepted", now)
    phase = session.get_one(Phase, submission.phase).kind
    if phase in (SCORED, SMOKE):
        evaluation(session, actor, submission, 1, now, "evaluate" if phase == SCORED else SMOKE)


def evaluated(session: Session, actor: Actor, job: Job, result: str, names: Collection[str], now: int) -> None:
    """All that was to be run has run.

    Args:
        session: a writing one.
        actor: the worker.
        job: an evaluation that it holds.
        result: digest of the blob with the reports.
        names: the digests in it, all of files that are here: they are kept with it.
        now: microseconds.
    """
    queue.finish(session, job, result, now)
    for sha256 in names:
        session.merge(Kept(job_id=job.id, sha256=sha256))
    sentence = "each model has answered" if job.kind == SMOKE else "all tasks are answered and marked"
    states.move(session, actor, job.submission, "scored", now, stage="score", code="scored", sentence=sentence)


def failed(
    session: Session, actor: Actor, job: Job, fault: Fault, code: str, sentence: str, now: int, *, away: bool = False
) -> None:
    """A job ended without a result.

    Args:
        session: a writing one.
        actor: the worker; the server itself, if a worker was lost.
        job: a leased one.
        fault: who answers for it.
        code: such as `out-of-memory`.
        sentence: that says what happened.
        now: microseconds.
        away: whether a host that the package names is: it is tried again later, and its team is told.
    """
    submission = job.submission
    if fault == "participant":
        queue.fail(session, actor, job, sentence, now)
        if job.kind == CHECK:
            slots.release(session, submission, "refusal")
        states.move(session, actor, submission, "refused" if job.kind == CHECK else "failed", now, code=code,
             sentence=sentence, fault=fault)  # fmt: skip
        return
    later = now + _PAUSES[min(job.attempt, len(_PAUSES)) - 1] * SECOND if away else 0
    again = queue.give_back(session, actor, job, sentence, now, not_before=later)
    _warn(session, job, sentence, again, now)
    if again and away:
        when = f"It is tried again after {datetime.fromtimestamp(later / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
        notices.tell(session, notices.members(session, submission.team_id), f"{submission.called}: a link is away",
                     f"{sentence}. {when}, {queue.AGAIN + 1 - job.attempt} times at the most.", now)  # fmt: skip
    if again:
        if job.kind != CHECK:
            states.move(session, actor, submission, "queued", now, sentence=sentence)
        return
    if not queue.has_result(session, submission.id):  # otherwise an earlier result goes on counting
        slots.release(session, submission, "platform-fault")
    states.move(session, actor, submission, "failed", now, code=code, sentence=sentence, fault=fault)


def left(session: Session, actor: Actor, job: Job, now: int) -> None:
    """Its worker leaves in good order: it waits for another, and nobody is at fault."""
    queue.give_back(session, actor, job, "its worker was stopped", now, counts=False)
    if job.kind != CHECK:
        states.move(session, actor, job.submission, "queued", now)


def reap(session: Session, leases: Leases, now: int) -> int:
    """Take back the jobs of workers that were silent for too long; how many there were."""
    lost = queue.silent(session, leases)
    for job in lost:
        try:
            with session.begin_nested():
                failed(session, SYSTEM, job, "platform", "platform-fault", queue.SILENT, now)
        except Conflict as error:  # whatever is wrong with one must not keep all workers waiting
            _log.error("lost job stays", job=job.id, error=str(error))
    return len(lost)


def _warn(session: Session, job: Job, sentence: str, again: bool, now: int) -> None:
    """Tell the organisers, before the team notices."""
    what = "waits again" if again else "has failed for good"
    notices.tell(session, notices.organisers(session), f"job {job.id} ({job.kind}) {what}",
                 f"{sentence}; try {job.attempt}, worker {job.worker}", now)  # fmt: skip
