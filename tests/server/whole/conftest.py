"""Whether all that a server keeps agrees: what must hold between any two of its transactions, whatever was cut off."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.files import MAX_RECORD
from edgelm.server import audit, blobs, queue, scrub, states
from edgelm.server.storage import Storage
from edgelm.server.tables import (
    Attempts,
    Audit,
    Blob,
    Decision,
    Job,
    Kept,
    Notice,
    Phase,
    Revision,
    Slot,
    Submission,
    Upload,
    Wanted,
)

OPEN = {  # the jobs that a submission has in the queue, by its state; none in the others
    "checking": [("check", queue.WAITING), ("check", queue.LEASED)],
    "queued": [("evaluate", queue.WAITING)],
    "running": [("evaluate", queue.LEASED)],
}
USES = {  # of the slot of a submission that has one, by its state
    "checking": {"reserved"}, "accepted": {"reserved"}, "queued": {"reserved", "spent"}, "running": {"spent"},
    "scored": {"spent"}, "failed": {"spent"}, "withdrawn": {"spent"}, "refused": set(), "cancelled": set(),
}  # fmt: skip
_FREED = ("submission.cancelled", "submission.failed")  # what comes after these may have no slot
Consistent = Callable[[Session, Storage], None]


@pytest.fixture
def consistent() -> Consistent:
    """`consistent(session, storage)`: fails where tables, files and the audit log contradict each other."""
    return _consistent


def _consistent(session: Session, storage: Storage) -> None:
    assert audit.first_break(session) is None
    log = defaultdict(list)
    for entry in session.scalars(select(Audit).order_by(Audit.number)):
        log[entry.object].append(entry)
    for submission in session.scalars(select(Submission)):
        _of_submission(session, submission, log[submission.id])
    for job in session.scalars(select(Job)):
        _of_job(session, storage, job)
    _of_files(session, storage)
    _of_boards(session, log)
    handed_in = session.execute(select(Submission.team_id, Submission.track, Submission.phase)).all()
    used = {(row.team_id, row.track, row.phase): row.used for row in session.scalars(select(Attempts))}
    assert used == Counter(map(tuple, handed_in))


def _of_submission(session: Session, submission: Submission, log: list[Audit]) -> None:
    """Its state is the last of the log, its job and its slot fit it, and its team was told of each change once."""
    moves = [entry for entry in log if entry.action.removeprefix("submission.") in states.NEXT]
    assert submission.state == (moves[-1].action.removeprefix("submission.") if moves else "checking")
    jobs = list(session.scalars(select(Job).filter_by(submission_id=submission.id)))
    waits = [(job.kind, job.state) for job in jobs if job.state in (queue.WAITING, queue.LEASED)]
    fit = OPEN.get(submission.state, [])
    assert len(waits) == bool(fit) and set(waits) <= set(fit), (submission.state, waits)
    if submission.state == "scored":
        assert any(job.kind == "evaluate" and job.result for job in jobs)
    held = session.scalars(select(Slot).filter_by(submission_id=submission.id)).one_or_none()
    scored = session.get_one(Phase, submission.phase).kind == "scored"
    if held is not None:
        assert held.use in USES[submission.state], (submission.state, held.use)
    elif scored and not any(entry.action in _FREED for entry in moves):
        assert submission.state in ("refused", "withdrawn"), f"{submission.state}, and has no slot"
    told = Counter(session.scalars(select(Notice.event).where(
        Notice.event.startswith(f"{submission.id}/"), Notice.channel == "page")))  # fmt: skip
    people = len(submission.team.members)
    assert told == {f"{submission.id}/{entry.action.removeprefix('submission.')}/{entry.number}": people
                    for entry in moves}  # fmt: skip


def _of_job(session: Session, storage: Storage, job: Job) -> None:
    """Whoever leases it is known until it ends; all that its result names is kept."""
    assert (job.state == queue.LEASED) == (job.lease_ends is not None)
    assert (job.state in (queue.WAITING, queue.LEASED)) == (job.ended is None)
    assert (job.state == queue.DONE) == (job.result is not None)
    assert job.attempt <= queue.AGAIN + 1 and (job.state != queue.LEASED or job.worker)
    if job.kind == "evaluate" and job.result:
        names = blobs.named_in(session, storage.read(job.result, MAX_RECORD))
        assert names <= set(session.scalars(select(Kept.sha256).filter_by(job_id=job.id)))


def _of_files(session: Session, storage: Storage) -> None:
    """What is named is there, and what is there is what its name says."""
    coming = set(session.scalars(select(Wanted.sha256).where(~Wanted.shown)))
    for digest in scrub.named(session) - coming:
        assert storage.holds(digest), f"{digest} is named, and not there"
    for blob in session.scalars(select(Blob)):
        assert storage.holds(blob.sha256) and storage.size(blob.sha256) == blob.size
    assert not scrub.damaged(storage)
    empty = select(Upload.id).outerjoin(Wanted).group_by(Upload.id).having(func.count(Wanted.sha256) == 0)
    assert not session.scalars(empty).all(), "an upload without what it wants"


def _of_boards(session: Session, log: dict[str, list[Audit]]) -> None:
    """Revisions follow on each other, each logged; what was decided was logged, and the other way round."""
    by_track = defaultdict(list)
    for row in session.scalars(select(Revision).order_by(Revision.track, Revision.number)):
        by_track[row.track].append(row)
    for track, rows in by_track.items():
        logged = [entry for entry in log[track] if entry.action.startswith("board.")]
        kept = {row.number: row.state for row in rows}  # of all but recounts of a live board, of which some are
        states = [kept.get(number, "live") for number in range(1, max(kept) + 1)]
        assert [entry.action for entry in logged] == [f"board.{state}" for state in states]
    for decision in session.scalars(select(Decision)):
        done = [entry for entry in log[decision.id] if entry.action == f"decision.{decision.kind}"]
        assert len(done) == (decision.applied is not None)
