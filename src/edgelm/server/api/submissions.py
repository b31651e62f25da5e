"""Submissions: handing one in, what becomes of it as it happens, taking it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from edgelm.server import handing_in, offences, phases, queue, reviews, sight, states, uploads
from edgelm.server.access import Viewer
from edgelm.server.api.uploads import own_team
from edgelm.server.app import server_of
from edgelm.server.calling import Asking, Calling
from edgelm.server.clock import SECOND
from edgelm.server.fields import Body
from edgelm.server.handing_in import Package
from edgelm.server.idempotency import Call
from edgelm.server.phases import Kind
from edgelm.server.refusals import NotLoggedIn, NotThere
from edgelm.server.state import Server
from edgelm.server.tables import Finding, Job, Line, Phase, Progress, Slot, Submission, Team, Upload, Worker
from edgelm.server.teams import key_of
from edgelm.server.waits import Wait, estimate

router = APIRouter(tags=["submissions"])

POLL = 0.5  # seconds between two looks at whether anything has happened
_ALIVE = 15  # seconds after which a stream without news says that it lives, and looks at the whole again
_LONGEST = 600  # seconds of a stream; browsers then ask again, and show again who they are
Id = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class HandIn(Body):
    """An upload whose files have all come."""

    upload: Id


class OutBy(Body):
    """A decision that puts a submission out of competition, alone or with all that its team hands in to the track."""

    decision: str
    offence: str
    evidence: str
    whole_team: bool


class Shown(Body):
    """A submission. Times are microseconds of UTC."""

    id: str
    team: str
    team_name: str
    track: str
    phase: str
    kind: str  # of the phase: smoke, preliminary, scored, stage-2
    manifest: str  # digest
    title: str
    received: int
    state: str
    stage: str
    code: str
    sentence: str
    fault: str
    review: str
    out: list[OutBy]  # what puts it out of competition, beside what its measurements do
    changed: int
    slot: int | None  # that it holds


class Part(Body):
    """How much of a part of the evaluation is done."""

    part: str
    done: int
    of: int


class Live(Shown):
    """A submission with what its evaluation is at."""

    before: int | None  # jobs that are before it in the queue, while it waits
    wait: int | None  # microseconds until a worker takes it, about; None if that is not known, or it does not wait
    wait_unknown: str  # why it is not known
    attempt: int  # of the job at hand; 0 before the first
    seen: int | None  # when its worker was last heard of
    parts: list[Part]
    over: bool  # nothing more happens by itself


class Listed(Body):
    """Submissions, the latest first."""

    submissions: list[Shown]


class Findings(Body):
    """What the checker found, gravest first, and what reviewers say to it."""

    findings: list[dict[str, Any]]
    reason: str  # why its review was cleared or confirmed; empty before


class LogLine(Body):
    """A line of a job's log."""

    job: str
    number: int
    time: int
    text: str


class Log(Body):
    """Lines of a submission's jobs, in their order; what follows comes with `after` set to `next`."""

    lines: list[LogLine]
    next: int


@router.post("/submissions", status_code=201, response_model=Shown)
def hand_in(body: HandIn, at: Calling) -> JSONResponse:
    """Hand in an uploaded package: it is checked, takes a slot and waits for its evaluation, or is refused."""
    return with_upload(at, body.upload, lambda session, upload, package: shown(session, at.server, handing_in.hand_in(
        session, at.server.storage, at.server.rules, at.viewer.actor, upload, package, at.now
    )))  # fmt: skip


def with_upload(
    at: Call, upload_id: str, enter: Callable[[Session, Upload, Package], BaseModel], kind: Kind | None = None
) -> JSONResponse:
    """Look at an upload of one's team, if it may be handed in, then do in one transaction what it is for.

    Args:
        at: the call.
        upload_id: of the upload.
        enter: what is done with it and the package.
        kind: of the phase that it is for; the scored phase or the preliminary review if None.
    """
    if before := at.answered():
        return before
    server, team, most = at.server, own_team(at.viewer), at.server.settings.max_package
    with server.database.read() as session:
        begun = uploads.find(session, upload_id, team)
        phase = phases.require(session, kind, at.now, "SUB-02") if kind else None
        found = handing_in.candidate(session, server.storage, server.rules, begun, most, at.now, phase)
    with server.looks.place(team):
        package = handing_in.look(server.storage, server.rules, found, most, server.settings.link_hosts)

    def work(session: Session) -> BaseModel:
        return enter(session, uploads.find(session, upload_id, team), package)

    return at.once(work)


@router.get("/submissions")
def listed(
    request: Request, who: Asking,
    team: str | None = None, state: str | None = None, track: str | None = None, kind: Kind | None = None,
    before: Annotated[int, Query(ge=0, lt=2**63)] = 2**63 - 1, limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Listed:  # fmt: skip
    """The submissions of one's team, to reviewers and organisers of all teams, received before a time.

    `team` is its number or its name, `kind` that of the phase that they were handed in to.
    """
    wanted = select(Submission).where(Submission.received < before)
    if not who.may("reviewer"):
        wanted = wanted.where(Submission.team_id == own_team(who))
    elif team is not None:
        named = select(Team.id).where(or_(Team.id == team, Team.key == key_of(team)))
        wanted = wanted.where(Submission.team_id.in_(named))
    for column, value in ((Submission.state, state), (Submission.track, track)):
        wanted = wanted if value is None else wanted.where(column == value)
    if kind is not None:
        wanted = wanted.join(Phase, Phase.name == Submission.phase).where(Phase.kind == kind)
    wanted = wanted.order_by(Submission.received.desc(), Submission.id).limit(limit)
    server = server_of(request)
    with server.database.read() as session:
        return Listed(submissions=[shown(session, server, each) for each in session.scalars(wanted)])


@router.get("/submissions/{submission}")
def show(submission: Id, request: Request, who: Asking) -> Live:
    """A submission, and what its evaluation is at."""
    return _live(server_of(request), who, submission)


@router.get("/submissions/{submission}/findings")
def findings(submission: Id, request: Request, who: Asking) -> Findings:
    """What the checker found; the evidence for what a reviewer decides is the reviewers'."""
    with server_of(request).database.read() as session:
        found = seen(session, who, submission)
        rows = session.scalars(select(Finding.body).filter_by(submission_id=submission).order_by(Finding.number))
        return Findings(findings=sight.findings(who, rows, found.team_id), reason=reviews.reason(session, found))


@router.get("/submissions/{submission}/log")
def log(
    submission: Id, request: Request, who: Asking,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Log:  # fmt: skip
    """Lines of the log, cut and redacted, from the one after `after` on."""
    of_submission = select(Line).join(Job, Job.id == Line.job_id).where(Job.submission_id == submission)
    with server_of(request).database.read() as session:
        seen(session, who, submission)
        ordered = of_submission.order_by(Job.created, Job.id, Line.number)
        rows = session.scalars(ordered.offset(after).limit(limit))
        lines = [LogLine(job=row.job_id, number=row.number, time=row.time, text=row.text) for row in rows]
    return Log(lines=lines, next=after + len(lines))


def watching(request: Request, who: Asking) -> Iterator[None]:
    """A place among those who watch, until the answer has ended."""
    with server_of(request).streams.place(who.actor.id):
        yield


@router.get("/submissions/{submission}/events", response_class=StreamingResponse, dependencies=[Depends(watching)])
async def events(submission: Id, request: Request, who: Asking) -> StreamingResponse:
    """The submission as it changes, as server-sent events of the shape that `GET` has; until it has ended."""
    server = server_of(request)
    first = await run_in_threadpool(_live, server, who, submission)
    return StreamingResponse(_stream(server, who, first), media_type="text/event-stream")


@router.post("/submissions/{submission}/withdraw", status_code=200, response_model=Shown)
def withdraw(submission: Id, at: Calling) -> JSONResponse:
    """Take a submission back until its phase closes; the slot is free again if the evaluation has not started."""

    def work(session: Session) -> Shown:
        found = own(session, at.viewer, submission)
        states.withdraw(session, at.viewer.actor, found, at.now)
        return shown(session, at.server, found)

    return at.once(work, 200)


def _found(session: Session, who: Viewer, submission: str) -> Submission:
    if who.role == "visitor":  # who need not know what there is
        raise NotLoggedIn("this is for members of the team", mend="log in, or send a token")
    found = session.get(Submission, submission)
    if found is None:
        raise NotThere("there is no such thing", why="or it is another team's")
    return found


def seen(session: Session, who: Viewer, submission: str) -> Submission:
    """A submission that whoever asks may see."""
    found = _found(session, who, submission)
    who.require_sight(found.team_id)
    return found


def own(session: Session, who: Viewer, submission: str) -> Submission:
    """A submission of the team of whoever asks."""
    found = _found(session, who, submission)
    who.require_member(found.team_id)
    return found


def shown(session: Session, server: Server, one: Submission) -> Shown:
    """A submission as its team, reviewers and organisers see it."""
    return Shown(**_fields(session, server, one))


def _fields(session: Session, server: Server, one: Submission) -> dict[str, Any]:
    names = ("id", "track", "phase", "manifest", "title", "received", "state", "stage", "code", "sentence", "fault",
             "review", "changed")  # fmt: skip
    slot = session.scalars(select(Slot.number).filter_by(submission_id=one.id)).first()
    out = [OutBy(**each._asdict()) for each in offences.standing(session, server.storage, one)]
    more = {"team": one.team_id, "team_name": one.team.name, "kind": session.get_one(Phase, one.phase).kind}
    return {name: getattr(one, name) for name in names} | more | {"slot": slot, "out": out}


def _live(server: Server, who: Viewer, submission: str) -> Live:
    with server.database.read() as session:
        one = seen(session, who, submission)
        latest = select(Job).filter_by(submission_id=submission).order_by(Job.created.desc(), Job.id).limit(1)
        job = session.scalars(latest).first()
        fields = {**_fields(session, server, one), "over": states.over(session, one)}
        if job is None:
            return Live(**fields, before=None, wait=None, wait_unknown="", attempt=0, seen=None, parts=[])
        worker = session.get(Worker, job.worker) if job.worker and job.state == queue.LEASED else None
        rows = session.scalars(select(Progress).filter_by(job_id=job.id).order_by(Progress.part))
        waits = job.state == queue.WAITING
        wait = estimate(session, job, server.settings.lease_seconds, server.clock()) if waits else Wait(None)
        return Live(
            **fields, attempt=job.attempt, seen=worker.seen if worker else None, wait=wait.time,
            wait_unknown=wait.unknown, before=queue.place(session, job) if waits else None,
            parts=[Part(part=row.part, done=row.done, of=row.of) for row in rows],
        )  # fmt: skip


async def _stream(server: Server, who: Viewer, now: Live) -> AsyncIterator[str]:
    said, mark, quiet, began = "", None, 0.0, server.clock()
    with server.watch.of(now.id):
        while True:
            # A heartbeat is no news by itself, nor is it that time goes by.
            told = now.model_copy(update={"seen": None, "wait": None}).model_dump_json()
            if told != said:
                yield f"event: submission\ndata: {now.model_dump_json()}\n\n"
                said, quiet = told, 0.0
            elif quiet >= _ALIVE:
                yield ": still here\n\n"
                quiet = 0.0
            if now.over or server.clock() - began > _LONGEST * SECOND:
                return
            await asyncio.sleep(POLL)
            quiet += POLL
            before, mark = mark, await server.watch.mark(server.database, now.id, POLL)
            if mark != before or quiet >= _ALIVE:
                now = await run_in_threadpool(_live, server, who, now.id)
