"""What counts of every scored submission: its entry, as `score` ranks it.

A result is a blob that names reports and answers. Reading it means holding every answer against the score that its
report has, which takes seconds; so that it is read once, outside of any transaction, and what came of it is a blob of
its own (`Job.reached`). Boards are computed from these.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.checkpoint import validate
from edgelm.errors import BadFile, MissingInput
from edgelm.files import MAX_RECORD, canonical_json, parse_json, sha256_bytes
from edgelm.report import MAX_ANSWERS, REPORT, Exact, Report
from edgelm.rules.base import Rules
from edgelm.score.collect import slot_model
from edgelm.score.entries import UNBOXED, Entry, Record, SlotModel, scored_tasks
from edgelm.score.marks import Marks
from edgelm.score.released import Released, worth
from edgelm.score.standings import entries_bytes
from edgelm.score.tolerance import variance
from edgelm.server import blobs
from edgelm.server.clock import moment
from edgelm.server.fields import Digest
from edgelm.server.queue import DONE, has_result
from edgelm.server.records import EVALUATE, SCORED
from edgelm.server.state import Server
from edgelm.server.storage import Storage
from edgelm.server.tables import Job, Kept, Phase, Revision, Submission, Team

_ENDED_WELL = (Job.kind == EVALUATE, Job.state == DONE, Job.result.is_not(None))
_STANDING = (SCORED, "queued", "running", "failed")  # the old result counts until an evaluation anew has ended well
_LAST_FIRST = (Job.ended.desc(), Job.id)


class Reports(BaseModel):
    """A model's report and its answers by task, as digests."""

    report: Digest
    answers: dict[str, Digest] = Field(default_factory=dict)


class Repeated(BaseModel):
    """How many tokens of a model's answers came out again when it was asked once more in stage 1."""

    same_tokens: int = Field(ge=0)
    tokens: int = Field(ge=0)


class ModelResult(Reports):
    """What an evaluation names of one model; `holdout` where hold-outs were asked."""

    holdout: Reports | None = None
    agreement: Repeated | None = None


class Result(BaseModel):
    """What a worker hands in of an evaluation. Fields that only people read are left aside."""

    rules: str  # digest
    box: dict[str, Any] = Field(default_factory=dict)
    eligible: bool
    models: dict[str, ModelResult]


class Reading(Record):
    """What of a result counts under rules, before any decision."""

    rules: str  # digest
    models: dict[str, SlotModel]
    reasons: tuple[str, ...] = ()  # why it is out of competition by itself
    variances: dict[str, Exact] = Field(default_factory=dict)  # of scores, squared, by their marks


class Counted(NamedTuple):
    """A scored submission, and the evaluation whose result counts: the last that ended well."""

    submission: str
    track: str
    team: str
    title: str
    received: int
    job: str
    result: str
    reached: str | None  # digest of its reading, once there is one


class Gathered(NamedTuple):
    """Entries before any decision, and the digest of the blob that holds them."""

    entries: tuple[Entry, ...]
    digest: str


def result_of(storage: Storage, sha256: str) -> Result:
    """A result as it was handed in.

    Raises:
        MissingInput, BadFile: it is not there, or none that a worker hands in.
    """
    return validate(Result, parse_json(storage.read(sha256, MAX_RECORD), "a result"), "a result")


def report_of(storage: Storage, sha256: str) -> Report:
    """A report that a result names.

    Raises:
        MissingInput, BadFile: it is not there, or damaged.
    """
    return validate(Report, parse_json(storage.read(sha256, MAX_RECORD), REPORT), REPORT)


def read(storage: Storage, rules: Rules, sha256: str) -> Reading:
    """What of a result counts under the rules; the marks of its answers are put into the storage."""
    variances: dict[str, Exact] = {}

    def keep(data: bytes) -> str:
        digest = storage.put(data)
        strata = Marks.model_validate_json(data).strata.values()
        variances[digest] = variance((each.weight, each.marks) for each in strata)
        return digest

    try:
        result = result_of(storage, sha256)
    except (MissingInput, BadFile) as error:
        return Reading(rules=rules.digest, models={}, reasons=(f"evaluation: {error.what}",))

    def marked(report: Report, task: str, answers: str | None, slot: str) -> Released:
        if answers is None or not storage.holds(answers):
            return "", "no answers are kept"
        try:
            data = storage.read(answers, MAX_ANSWERS)
        except BadFile as error:  # more than anybody needs for answers
            return "", error.what
        return worth(task, report.tasks[task], data, f"{slot}/{task}", keep)

    def model(slot: str, named: ModelResult) -> SlotModel:
        try:
            report = report_of(storage, named.report)
            hidden = report_of(storage, named.holdout.report) if named.holdout else None
        except (MissingInput, BadFile) as error:
            return SlotModel(name=slot, scores={}, notes=(error.what,))
        marks = {task: marked(report, task, named.answers.get(task), slot)
                 for task in scored_tasks(rules) if task in report.tasks}  # fmt: skip
        return slot_model(rules, report, hidden, marks)

    other = f"rules: evaluated by other rules ({result.rules[:12]}…, ranked are those of {rules.digest[:12]}…)"
    reasons = (*(() if result.rules == rules.digest else (other,)), *(() if result.eligible else (UNBOXED,)))
    models = {slot: model(slot, named) for slot, named in sorted(result.models.items())}
    return Reading(rules=rules.digest, models=models, reasons=reasons, variances=variances)


def prepare(server: Server) -> None:
    """Read every result that was not read yet by the rules in force.

    What a final board's entries follow from stays as it was read for that board, whatever rules come after it.
    """
    rules = server.rules
    with server.database.read() as session:
        final = set(session.scalars(select(Revision.track).where(Revision.state == "final")))
        waiting = [one for one in counted(session) if not _is_read(server.storage, rules, one)
                   and not (one.reached and one.track in final)]  # fmt: skip
    for one in waiting:
        found = read(server.storage, rules, one.result)
        reached = server.storage.put(canonical_json(found.model_dump(mode="json")))
        named = {digest for model in found.models.values() for digest in model.marks.values()}
        with server.database.write() as session:
            session.get_one(Job, one.job).reached = reached
            for digest in named:
                session.merge(Kept(job_id=one.job, sha256=digest))
            blobs.enter(session, server.storage, {reached, *named}, server.clock())


def unread(session: Session, server: Server, track: str) -> list[str]:
    """The submissions of a track whose results were not read yet."""
    rules = server.rules
    return [one.submission for one in counted(session, track) if not _is_read(server.storage, rules, one)]


def gathered(session: Session, server: Server, track: str) -> Gathered:
    """The entries of a track as they are now, of all results that were read."""
    rules, storage = server.rules, server.storage
    return _gathered(storage, tuple(one for one in counted(session, track) if _is_read(storage, rules, one)))


def evaluation_of(session: Session, server: Server, entry: Entry) -> Job | None:
    """The evaluation that an entry follows from; None where its result was never read."""
    done = select(Job).where(Job.submission_id == entry.submission, *_ENDED_WELL).order_by(*_LAST_FIRST)
    for job in session.scalars(done):
        if job.reached and reading(server.storage, job.reached).models == entry.models:
            return job
    return None


@lru_cache(maxsize=5000)
def reading(storage: Storage, sha256: str) -> Reading:
    """A reading that was kept."""
    return validate(Reading, parse_json(storage.read(sha256, MAX_RECORD), "a reading"), "a reading")


@lru_cache(maxsize=8)
def _gathered(storage: Storage, rows: tuple[Counted, ...]) -> Gathered:
    def entry(row: Counted) -> Entry:
        counts = reading(storage, row.reached or "")
        return Entry(submission=row.submission, team=row.team, title=row.title, received=moment(row.received),
                     models=counts.models, reasons=counts.reasons)  # fmt: skip

    entries = tuple(map(entry, rows))
    return Gathered(entries, sha256_bytes(entries_bytes(entries)))


def _is_read(storage: Storage, rules: Rules, one: Counted) -> bool:
    return one.reached is not None and reading(storage, one.reached).rules == rules.digest


def stands(session: Session, submission: Submission) -> bool:
    """Whether a result of it counts, though an evaluation anew may be under way or have failed."""
    return submission.state in _STANDING and has_result(session, submission.id)


def counted(session: Session, track: str | None = None) -> list[Counted]:
    """The scored submissions of a track, or of all, by id."""
    wanted = (
        select(
            Submission.id,
            Submission.track,
            Team.name,
            Submission.title,
            Submission.received,
            Job.id,
            Job.result,
            Job.reached,
        )
        .join(Team, Team.id == Submission.team_id)
        .join(Phase, Phase.name == Submission.phase)
        .join(Job, Job.submission_id == Submission.id)
        .where(Submission.state.in_(_STANDING), Phase.kind == SCORED, *_ENDED_WELL)
        .order_by(Submission.id, *_LAST_FIRST)
    )
    rows = session.execute(wanted if track is None else wanted.where(Submission.track == track))
    return [Counted(*next(own)) for _, own in groupby(rows, lambda row: row[0])]  # type: ignore[arg-type]
