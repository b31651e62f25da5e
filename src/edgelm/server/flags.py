"""What the server itself finds in a submission that was accepted: a flag, on which reviewers decide."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.check.base import Finding as Found
from edgelm.server import audit, notices
from edgelm.server.audit import SYSTEM
from edgelm.server.tables import Finding, Submission


def flag(session: Session, submission: Submission, found: Found, told: str, now: int) -> None:
    """Add a finding to a submission, and open its review.

    Args:
        session: a writing one.
        submission: that is flagged.
        found: why.
        told: what organisers are told beyond that.
        now: microseconds.
    """
    last = session.scalar(select(func.max(Finding.number)).where(Finding.submission_id == submission.id))
    session.add(Finding(submission_id=submission.id, number=(last or 0) + 1, body=found.as_json()))
    audit.record(session, SYSTEM, "review.flag", submission.id, now, after={"code": found.code, **found.evidence})
    if submission.review != "confirmed":  # what is out already needs no second look
        submission.review = "open"
    notices.tell(session, notices.organisers(session), f"{submission.called}: a review is due",
                 f"{found.code}: {told}", now)  # fmt: skip
