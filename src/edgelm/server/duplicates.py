"""Packages of different teams that are too much alike: the same weights (DUP-01), nearly the same answers (DUP-02).

Every scored submission is held once against those of all other teams in its track, outside of any transaction that
others wait for. What is alike is flagged on both sides: reviewers see with whom, the teams do not, and are asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache, partial
from hashlib import sha256

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.check.base import finding
from edgelm.errors import BadFile, MissingInput
from edgelm.report import MAX_ANSWERS, parse_answers
from edgelm.server import entries, notices
from edgelm.server.flags import flag
from edgelm.server.likeness import SHORT, alike, may_be_alike, sketch
from edgelm.server.queue import DONE
from edgelm.server.records import EVALUATE
from edgelm.server.state import Server
from edgelm.server.storage import Storage
from edgelm.server.tables import File, Finding, Fingerprint, Job, Submission

SAME_WEIGHTS, SAME_ANSWERS = "DUP-01", "DUP-02"
_AT_ONCE = 1000  # sketches in memory
_WEIGHTS = ".safetensors"
_MEND = "say how that comes, as an appeal on the submission's page; a reviewer decides"  # asks both teams


def compare(server: Server) -> None:
    """Hold every evaluation that is done, and was not looked at yet, against those of other teams."""
    with server.database.read() as session:
        done = select(Job).outerjoin(Fingerprint, Fingerprint.job_id == Job.id).order_by(Job.ended, Job.id)
        done = done.where(Job.kind == EVALUATE, Job.state == DONE, Fingerprint.job_id.is_(None))
        unseen = [(job.id, job.result or "", job.submission) for job in session.scalars(done)]
    for job_id, result, submission in unseen:
        answers = fingerprint(server.storage, result)
        with server.database.read() as session:
            found = [(SAME_WEIGHTS, other, "") for other in _of_same_weights(session, submission)]
            found += [(SAME_ANSWERS, *each) for each in _of_same_answers(session, submission, answers)]
        with server.database.write() as session:
            session.merge(Fingerprint(job_id=job_id, sketch=sketch(answers), answers=answers))
            for code, other, share in found:
                for one, its_like in ((submission.id, other), (other, submission.id)):
                    _flag(session, session.get_one(Submission, one), code, its_like, share, server.clock())


def fingerprint(storage: Storage, result: str) -> bytes:
    """Short digests of all answers that a result names, one behind the other; none of a result that cannot be read."""
    try:
        named = entries.result_of(storage, result).models
        digests = [each for slot, model in sorted(named.items()) for task, log in sorted(model.answers.items())
                   for each in _digests(storage, f"{slot}/{task}", log)]  # fmt: skip
    except (MissingInput, BadFile):
        return b""
    return b"".join(sorted(digests))


def groups(session: Session) -> list[list[str]]:
    """The submissions that were found alike, each with all that it hangs together with; the largest group first."""
    of: dict[str, set[str]] = {}
    flagged = select(Finding).order_by(Finding.submission_id, Finding.number)
    for row in session.scalars(flagged):
        if row.body["code"] in (SAME_WEIGHTS, SAME_ANSWERS) and (other := _other(row)):
            one = row.submission_id
            joined = of.get(one, {one}) | of.get(other, {other})
            of.update(dict.fromkeys(joined, joined))
    distinct = {tuple(sorted(group)) for group in of.values()}
    return [list(group) for group in sorted(distinct, key=lambda group: (-len(group), group))]


def _digests(storage: Storage, where: str, log: str) -> Iterator[bytes]:
    for answer in parse_answers(storage.read(log, MAX_ANSWERS), where):
        told = "\0".join((where, answer.sample, answer.text)).encode()
        yield sha256(told).digest()[:SHORT]


def _of_same_weights(session: Session, submission: Submission) -> list[str]:
    """Submissions of other teams that bring all the weights of a model of this one: a part may be of a common base."""
    models = defaultdict[str, set[str]](set)
    own = select(File.path, File.sha256).where(File.submission_id == submission.id, File.path.endswith(_WEIGHTS))
    for path, digest in session.execute(own):
        models[path.rpartition("/")[0]].add(digest)
    others = select(Submission.id).join(File, File.submission_id == Submission.id).group_by(Submission.id)
    others = others.where(Submission.team_id != submission.team_id, Submission.track == submission.track,
                          File.path.endswith(_WEIGHTS))  # fmt: skip
    found = set[str]()
    for digests in models.values():
        whole = func.count(File.sha256.distinct()) == len(digests)
        found.update(session.scalars(others.where(File.sha256.in_(digests)).having(whole)))
    return sorted(found)


def _of_same_answers(session: Session, submission: Submission, answers: bytes) -> list[tuple[str, str]]:
    """Submissions of other teams with nearly the same answers, each with the share that is equal."""
    if not answers:
        return []
    others = select(Submission.id, Fingerprint.job_id, Fingerprint.sketch).join(Job, Job.submission_id == Submission.id)
    others = others.join(Fingerprint, Fingerprint.job_id == Job.id).order_by(Job.ended)
    others = others.where(Submission.team_id != submission.team_id, Submission.track == submission.track)
    own = cache(partial(sketch, answers))
    near = [(other, job_id) for other, job_id, theirs in session.execute(others.execution_options(yield_per=_AT_ONCE))
            if may_be_alike(own(len(theirs)), theirs)]  # fmt: skip
    found = {}
    for other, job_id in near:
        if share := alike(answers, session.scalars(select(Fingerprint.answers).filter_by(job_id=job_id)).one()):
            found[other] = share
    return sorted(found.items())


def _flag(session: Session, submission: Submission, code: str, other: str, share: str, now: int) -> None:
    """Flag a submission, unless it is flagged for the same already, and open its review."""
    known = list(session.scalars(select(Finding).filter_by(submission_id=submission.id)))
    if any((row.body["code"], _other(row)) == (code, other) for row in known):
        return
    what = "its weights" if code == SAME_WEIGHTS else f"{share} answers"
    told = f"{what} are those of another team's package"
    found = finding(code, "", told, mend=_MEND, evidence={"submission": other})
    flag(session, submission, found, f"{told}: {other}", now)
    notices.tell(session, notices.members(session, submission.team_id), f"{submission.called}: a question of reviewers",
                 f"{told}. What to do: {_MEND}.", now)  # fmt: skip


def _other(row: Finding) -> str:
    """The submission that a flagged one is like; empty if the finding names none."""
    return str((row.body.get("evidence") or {}).get("submission", ""))
