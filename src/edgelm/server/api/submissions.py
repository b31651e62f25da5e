"""Submissions: handing one in, what becomes of it as it happens, taking it back, objecting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from edgelm.server import appeals, handing_in, queue, states, uploads
from edgelm.server.access import Viewer
from edgelm.server.api.uploads import own_team
from edgelm.server.app import server_of
from edgelm.server.calling import Asking, Calling
from edgelm.server.clock import SECOND
from edgelm.server.fields import Body, Prose
from edgelm.server.refusals import NotLoggedIn, NotThere
from edgelm.server.state import Server
from edgelm.server.tables import Appeal, Finding, Job, Line, Progress, Slot, Submission, Upload, Worker

router = APIRouter(tags=["submissions"])

POLL = 1.0  # seconds between two looks of a stream
_ALIVE = 15  # seconds after which a stream without news says that it lives
_LONGEST = 600  # seconds of a stream; browsers then ask again, and show again who they are
Id = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class HandIn(Body):
    """An upload whose files have all come."""

    upload: Id


class Shown(Body):
    """A submission. Times are microseconds of UTC."""

    id: str
    team: str
    team_name: str
    track: str
    phase: str
    manifest: str  # digest
    title: str
    received: int
    state: str
    stage: str
    code: str
    sentence: str
    fault: str
    review: str
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
    attempt: int  # of the job at hand; 0 before the first
    seen: int | None  # when its worker was last heard of
    parts: list[Part]
    over: bool  # nothing more happens by itself


class Listed(Body):
    """Submissions, the latest first."""

    submissions: list[Shown]


class Findings(Body):
    """What the checker found, gravest first."""

    findings: list[dict[str, Any]]


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


class Objection(Body):
    """Why a team objects."""

    text: Prose


class Decision(Body):
    """What was decided about an appeal, and why."""

    decision: appeals.Outcome
    reason: Prose


class AppealShown(Body):
    """An appeal; not decided yet while `decision` is empty."""

    id: str
    submission: str
    text: str
    created: int
    decision: Literal["", "granted", "dismissed"]
    reason: str
    decided: int | None


class Appeals(Body):
    """Appeals, oldest first, and until when they are taken; open-ended before the provisional board."""

    appeals: list[AppealShown]
    deadline: int | None = None


@router.post("/submissions", status_code=201, response_model=Shown)
def hand_in(body: HandIn, at: Calling) -> JSONResponse:
    """Hand in an uploaded package: it is checked, takes a slot and waits for its evaluation, or is refused."""
    server, team = at.server, own_team(at.viewer)
    with server.database.read() as session:
        begun = session.get(Upload, body.upload)
        digest = begun.manifest if begun and begun.team_id == team else None
    most = server.settings.max_package
    package = handing_in.look(server.storage, server.rules, digest, most) if digest else None

    def work(session: Session) -> Shown:
        if digest:
            uploads.require_new(session, team, digest)  # another call may have handed it in meanwhile
        upload = uploads.find(session, body.upload, team)
        if package is None:
            raise NotThere("the upload was begun a moment ago", mend="try again")
        made = handing_in.hand_in(session, server.storage, server.rules, at.viewer.actor, upload, package, at.now)
        return _shown(session, made)

    return at.once(work)


@router.get("/submissions")
def listed(
    request: Request, who: Asking,
    team: str | None = None, state: str | None = None, track: str | None = None,
    before: Annotated[int, Query(ge=0, lt=2**63)] = 2**63 - 1, limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Listed:  # fmt: skip
    """The submissions of one's team, to reviewers and organisers of all teams, received before a time."""
    team = team if who.may("reviewer") else own_team(who)
    wanted = select(Submission).where(Submission.received < before)
    for column, value in ((Submission.team_id, team), (Submission.state, state), (Submission.track, track)):
        wanted = wanted if value is None else wanted.where(column == value)
    wanted = wanted.order_by(Submission.received.desc(), Submission.id).limit(limit)
    with server_of(request).database.read() as session:
        return Listed(submissions=[_shown(session, each) for each in session.scalars(wanted)])


@router.get("/submissions/{submission}")
def show(submission: Id, request: Request, who: Asking) -> Live:
    """A submission, and what its evaluation is at."""
    return _live(server_of(request), who, submission)


@router.get("/submissions/{submission}/findings")
def findings(submission: Id, request: Request, who: Asking) -> Findings:
    """What the checker found; the evidence for what a reviewer decides is the reviewers'."""
    with server_of(request).database.read() as session:
        _seen(session, who, submission)
        rows = session.scalars(select(Finding).filter_by(submission_id=submission).order_by(Finding.number))
        bodies = [row.body for row in rows]
    if not who.may("reviewer"):
        bodies = [{key: value for key, value in body.items() if key != "evidence"} if body["severity"] == "R" else body
                  for body in bodies]  # fmt: skip
    return Findings(findings=bodies)


@router.get("/submissions/{submission}/log")
def log(
    submission: Id, request: Request, who: Asking,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Log:  # fmt: skip
    """Lines of the log, cut and redacted, from the one after `after` on."""
    of_submission = select(Line).join(Job, Job.id == Line.job_id).where(Job.submission_id == submission)
    with server_of(request).database.read() as session:
        _seen(session, who, submission)
        ordered = of_submission.order_by(Job.created, Job.id, Line.number)
        rows = session.scalars(ordered.offset(after).limit(limit))
        lines = [LogLine(job=row.job_id, number=row.number, time=row.time, text=row.text) for row in rows]
    return Log(lines=lines, next=after + len(lines))


@router.get("/submissions/{submission}/events", response_class=StreamingResponse)
async def events(submission: Id, request: Request, who: Asking) -> StreamingResponse:
    """The submission as it changes, as server-sent events of the shape that `GET` has; until it has ended."""
    server = server_of(request)
    first = await run_in_threadpool(_live, server, who, submission)
    return StreamingResponse(_stream(server, who, first), media_type="text/event-stream")


@router.post("/submissions/{submission}/withdraw", status_code=200, response_model=Shown)
def withdraw(submission: Id, at: Calling) -> JSONResponse:
    """Take a submission back until its phase closes; the slot is free again if the evaluation has not started."""

    def work(session: Session) -> Shown:
        found = _own(session, at.viewer, submission)
        states.withdraw(session, at.viewer.actor, found, at.now)
        return _shown(session, found)

    return at.once(work, 200)


@router.post("/submissions/{submission}/appeals", status_code=201, response_model=AppealShown)
def appeal(submission: Id, body: Objection, at: Calling) -> JSONResponse:
    """Object to how a submission ended."""

    def work(session: Session) -> AppealShown:
        found = _own(session, at.viewer, submission)
        return _appeal(appeals.appeal(session, at.server.rules, at.viewer.actor, found, body.text, at.now))

    return at.once(work)


@router.get("/submissions/{submission}/appeals")
def appeals_of(submission: Id, request: Request, who: Asking) -> Appeals:
    """The appeals about a submission, and until when they are taken."""
    server = server_of(request)
    with server.database.read() as session:
        found = _seen(session, who, submission)
        return Appeals(appeals=[_appeal(each) for each in appeals.of(session, found)],
                       deadline=appeals.deadline(session, server.rules, found.track))  # fmt: skip


@router.get("/appeals")
def all_appeals(request: Request, who: Asking, undecided: bool = False) -> Appeals:
    """All appeals, to organisers."""
    who.require("organiser")
    with server_of(request).database.read() as session:
        return Appeals(appeals=[_appeal(each) for each in appeals.of(session, undecided=undecided)])


@router.post("/appeals/{appeal}/decision", status_code=200, response_model=AppealShown)
def decide(appeal: str, body: Decision, at: Calling) -> JSONResponse:
    """Decide an appeal, as an organiser."""
    at.viewer.require("organiser")

    def work(session: Session) -> AppealShown:
        return _appeal(appeals.decide(session, at.viewer.actor, appeal, body.decision, body.reason, at.now))

    return at.once(work, 200)


def _found(session: Session, who: Viewer, submission: str) -> Submission:
    if who.role == "visitor":  # who need not know what there is
        raise NotLoggedIn("this is for members of the team", mend="log in, or send a token")
    found = session.get(Submission, submission)
    if found is None:
        raise NotThere("there is no such thing", why="or it is another team's")
    return found


def _seen(session: Session, who: Viewer, submission: str) -> Submission:
    """A submission that whoever asks may see."""
    found = _found(session, who, submission)
    who.require_sight(found.team_id)
    return found


def _own(session: Session, who: Viewer, submission: str) -> Submission:
    """A submission of the team of whoever asks."""
    found = _found(session, who, submission)
    who.require_member(found.team_id)
    return found


def _shown(session: Session, one: Submission) -> Shown:
    return Shown(**_fields(session, one))


def _fields(session: Session, one: Submission) -> dict[str, Any]:
    names = ("id", "track", "phase", "manifest", "title", "received", "state", "stage", "code", "sentence", "fault",
             "review", "changed")  # fmt: skip
    slot = session.scalars(select(Slot.number).filter_by(submission_id=one.id)).first()
    team = {"team": one.team_id, "team_name": one.team.name}
    return {name: getattr(one, name) for name in names} | team | {"slot": slot}


def _live(server: Server, who: Viewer, submission: str) -> Live:
    with server.database.read() as session:
        one = _seen(session, who, submission)
        latest = select(Job).filter_by(submission_id=submission).order_by(Job.created.desc(), Job.id).limit(1)
        job = session.scalars(latest).first()
        fields = {**_fields(session, one), "over": states.over(session, one)}
        if job is None:
            return Live(**fields, before=None, attempt=0, seen=None, parts=[])
        worker = session.get(Worker, job.worker) if job.worker and job.state == queue.LEASED else None
        rows = session.scalars(select(Progress).filter_by(job_id=job.id).order_by(Progress.part))
        return Live(
            **fields, attempt=job.attempt, seen=worker.seen if worker else None,
            before=queue.place(session, job) if job.state == queue.WAITING else None,
            parts=[Part(part=row.part, done=row.done, of=row.of) for row in rows],
        )  # fmt: skip


async def _stream(server: Server, who: Viewer, now: Live) -> AsyncIterator[str]:
    said, quiet, began = "", 0.0, server.clock()
    while True:
        told = now.model_copy(update={"seen": None}).model_dump_json()  # a heartbeat is no news by itself
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
        now = await run_in_threadpool(_live, server, who, now.id)


def _appeal(one: Appeal) -> AppealShown:
    return AppealShown(id=one.id, submission=one.submission_id, text=one.text, created=one.created,
                       decision=one.decision, reason=one.reason, decided=one.decided)  # type: ignore[arg-type]  # fmt: skip
