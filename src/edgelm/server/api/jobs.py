"""A worker's calls: lease a job, keep it, fetch what it needs, hand in what came of it.

All of them need a worker's key, and all but the first the number of a lease that still holds. Sent again, a call does
nothing twice: a job's progress is set, a journal grows at its end alone, and an end bears the number of its lease.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Body as InBody
from fastapi.responses import FileResponse
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.archives.entries import shown
from edgelm.files import MAX_RECORD, canonical_json
from edgelm.server import blobs, links, queue, records, room, rulebook
from edgelm.server.access import Viewer, viewer
from edgelm.server.app import server_of
from edgelm.server.fields import Body, Digest
from edgelm.server.journals import Journals
from edgelm.server.refusals import NotThere, Refused, TooMuch
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Job, Progress, Worker

router = APIRouter(prefix="/jobs", tags=["jobs"])
MOST_PARTS = 1000
CHUNK = 4 << 20  # bytes of a journal that one call reads
Fence = Annotated[int, Field(ge=1, lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Part = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._:=-]{0,99})?$")]
Journal = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,40}$")]
Octets = Annotated[bytes, InBody(media_type="application/octet-stream")]


class Asking(Body):
    """What a worker says of itself when it asks for a job."""

    tags: list[Tag] = Field(default_factory=list, max_length=20)
    request: Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,100}$")] = ""  # sent again, it gets the same job


class PartDone(Body):
    """How much of a part is done; `blob` is what came of it, once it is whole."""

    part: Part
    done: Count
    of: Count
    blob: Digest | None = None


class Leased(Body):
    """A job, and all that a worker needs to know of it."""

    id: str
    fence: int
    kind: str
    attempt: int
    lease_seconds: int
    part_bytes: int  # of a blob that is put, in one call
    submission: str
    track: str
    rules: str  # spec
    manifest: str  # digest
    done: list[PartDone]


class Held(Body):
    """The number of a lease."""

    fence: Fence


class Beat(Body):
    """How long a lease lasts from now on without another sign."""

    lease_seconds: int


class Doing(Held):
    """What a worker is at."""

    stage: Annotated[str, Field(max_length=40)] | None = None
    parts: list[PartDone] = Field(default_factory=list, max_length=MOST_PARTS)
    lines: list[Annotated[str, Field(max_length=10_000)]] = Field(default_factory=list, max_length=1000)


class FindingFound(Body):
    """A finding of the checker."""

    code: Annotated[str, Field(max_length=20)]
    severity: Literal["E", "R", "W", "I"]
    path: Annotated[str, Field(max_length=2000)]
    what: Annotated[str, Field(max_length=2000)]
    why: Annotated[str, Field(max_length=2000)]
    mend: Annotated[str, Field(max_length=2000)]
    evidence: dict[str, Any] | None = None


class Result(Held):
    """What came of a job: of a check its findings, of an evaluation the digest of a blob that was put."""

    findings: list[FindingFound] | None = Field(default=None, max_length=10_000)
    result: Digest | None = None


class Release(Held):
    """A job that ends without a result: because the worker leaves (no fault), or by somebody's fault."""

    fault: Literal["", "platform", "participant"] = ""
    code: Annotated[str, Field(max_length=40)] = ""
    sentence: Annotated[str, Field(max_length=1000), AfterValidator(shown)] = ""  # may hold a model's last words
    away: bool = False  # a host that the package names is: by the platform's fault, to be tried again later


class State(Body):
    """What became of a job."""

    state: str


class LackingFile(Body):
    """A file of a package, as its manifest lists it."""

    path: str
    size: int
    sha256: Digest


class Lacking(Body):
    """The files that a package only links, and the hosts that may be asked for them."""

    files: list[LackingFile]
    hosts: list[str]


class End(Body):
    """Where a journal, or a blob on its way, goes on."""

    size: int


@router.post("/lease", response_model=Leased, responses={204: {"description": "nothing waits"}})
def lease(request: Request, asking: Asking, who: Annotated[Viewer, Depends(viewer)]) -> Leased | Response:
    """The next job that this worker can do; none if none waits."""
    server, worker = server_of(request), _worker(who)
    rules, seconds = rulebook.named_by(server.rules), server.settings.lease_seconds
    with server.database.write() as session:
        now = server.clock()  # not before it was this call's turn to write
        records.reap(session, server.leases, now)
        job = queue.leased_by(session, worker, asking.request)
        if job is not None:
            queue.heartbeat(session, job, seconds, now)
        elif job := queue.lease(session, worker, seconds, now, asking.tags, asking.request):
            records.taken(session, who.actor, job, now)
        else:
            return Response(status_code=204)
        server.leases.heard(job)
        parts = session.scalars(select(Progress).where(Progress.job_id == job.id).order_by(Progress.part))
        return Leased(
            id=job.id, fence=job.fence, kind=job.kind, attempt=job.attempt, submission=job.submission_id,
            lease_seconds=seconds, part_bytes=server.settings.part,
            track=job.submission.track, rules=rules, manifest=job.submission.manifest,
            done=[PartDone(part=each.part, done=each.done, of=each.of, blob=each.blob) for each in parts],
        )  # fmt: skip


@router.post("/{job_id}/heartbeat")
def heartbeat(request: Request, job_id: str, body: Held, who: Annotated[Viewer, Depends(viewer)]) -> Beat:
    """The worker is alive."""
    server = server_of(request)
    with _held(server, who, job_id, body.fence):
        return Beat(lease_seconds=server.settings.lease_seconds)


@router.post("/{job_id}/progress")
def progress(request: Request, job_id: str, body: Doing, who: Annotated[Viewer, Depends(viewer)]) -> Beat:
    """What the worker is at; a heartbeat, too."""
    server = server_of(request)
    with _held(server, who, job_id, body.fence) as (session, job):
        now = server.clock()
        if body.stage is not None:
            job.submission.stage, job.submission.changed = body.stage, now
        for part in body.parts:
            if part.blob is not None:
                _stored(session, part.blob)
            queue.progress(session, job, part.part, part.done, part.of, now, part.blob)
        queue.say(session, job, body.lines, now)
    return Beat(lease_seconds=server.settings.lease_seconds)


@router.post("/{job_id}/result")
def result(request: Request, job_id: str, body: Result, who: Annotated[Viewer, Depends(viewer)]) -> State:
    """The job is done."""
    server, worker = server_of(request), _worker(who)
    findings = None if body.findings is None else [each.model_dump(exclude_none=True) for each in body.findings]
    digest = body.result if findings is None else server.storage.put(canonical_json({"findings": findings}))
    if digest is None:
        raise Refused("there is no result", mend="give findings of a check, the digest of an evaluation's result")
    with server.database.write() as session:
        now = server.clock()
        known = session.get(Job, job_id)
        if known and (known.state, known.worker, known.fence, known.result) == (
            queue.DONE, worker.name, body.fence, digest
        ):  # fmt: skip
            return State(state=known.state)  # the answer was lost on its way
        job = queue.held(session, worker, job_id, body.fence)
        if (job.kind == records.CHECK) != (findings is not None):
            raise Refused(f"that is no result of a job of the kind {job.kind}")
        if findings is not None:
            _keep(session, server, digest, now)
            records.checked(session, who.actor, job, findings, digest, now)
        else:
            _stored(session, digest)
            names = blobs.named_in(session, server.storage.read(digest, MAX_RECORD))
            records.evaluated(session, who.actor, job, digest, names, now)
        return State(state=job.state)


@router.post("/{job_id}/release")
def release(request: Request, job_id: str, body: Release, who: Annotated[Viewer, Depends(viewer)]) -> State:
    """The job ends without a result, or goes back to the queue."""
    server = server_of(request)
    with _held(server, who, job_id, body.fence) as (session, job):
        now = server.clock()
        if body.fault:
            code, sentence = body.code or f"{body.fault}-fault", body.sentence or "no reason was given"
            records.failed(session, who.actor, job, body.fault, code, sentence, now, away=body.away)
        else:
            records.left(session, who.actor, job, now)
        return State(state=job.state)


@router.get("/{job_id}/blobs/{sha256}", response_class=FileResponse)
def blob(
    request: Request, job_id: str, sha256: Digest, fence: Annotated[Fence, Query()],
    who: Annotated[Viewer, Depends(viewer)],
) -> FileResponse:  # fmt: skip
    """A file of the job's submission, or what a part of the job has made; ranges are served."""
    server = server_of(request)
    with _held(server, who, job_id, fence) as (session, job):
        of_package = session.scalars(select(File).where(File.submission_id == job.submission_id, File.sha256 == sha256))
        made = session.scalars(select(Progress).where(Progress.job_id == job.id, Progress.blob == sha256))
        if not (sha256 == job.submission.manifest or of_package.first() or made.first()):
            raise NotThere(f"the job has no file {sha256[:12]}…")
    return FileResponse(server.storage.path(sha256), media_type="application/octet-stream")


@router.get("/{job_id}/lacking")
def lacking(
    request: Request, job_id: str, fence: Annotated[Fence, Query()], who: Annotated[Viewer, Depends(viewer)]
) -> Lacking:
    """The files of the job's package that it only links, and that nobody has fetched yet: put, they are its own."""
    server = server_of(request)
    with _held(server, who, job_id, fence) as (session, job):
        files = links.lacking(session, server.storage, job.submission)
    return Lacking(files=[LackingFile(path=each.path, size=each.size, sha256=each.sha256) for each in files],
                   hosts=list(server.settings.link_hosts))  # fmt: skip


@router.put("/{job_id}/blobs/{sha256}")
def put_blob(
    request: Request, job_id: str, sha256: Digest, fence: Annotated[Fence, Query()],
    offset: Annotated[Count, Query()], size: Annotated[Count, Query()], part: Octets,
    who: Annotated[Viewer, Depends(viewer)], linked: Annotated[bool, Query()] = False,
) -> End:  # fmt: skip
    """Bytes of what a job has made, or, if `linked`, of what a link of its package gave.

    Those that do not begin where the last ended add nothing. It gives the end.
    """
    server = server_of(request)
    if len(part) > server.settings.part:
        raise TooMuch(f"a part has at most {server.settings.part:,} bytes", mend="send it in smaller ones")
    owner = f"job-{job_id}"
    with _held(server, who, job_id, fence):
        pass  # a lease that ended writes nothing
    if not server.storage.holds(sha256):
        if linked:
            room.require_left(server.storage, server.settings.reserve)
        with server.storage.arriving(owner, sha256, size) as arriving:
            if arriving.kept == offset:
                arriving.write(part)
                arriving.keep()
            if arriving.kept < size:
                return End(size=arriving.kept)
    with _held(server, who, job_id, fence) as (session, job):
        now = server.clock()
        _keep(session, server, sha256, now)
        if linked:
            links.arrived(session, server.storage, who.actor, job.submission, sha256, now)
    return End(size=size)


@router.get("/{job_id}/journals/{name}")
def journal(
    request: Request, job_id: str, name: Journal, fence: Annotated[Fence, Query()], offset: Annotated[Count, Query()],
    who: Annotated[Viewer, Depends(viewer)],
) -> Response:  # fmt: skip
    """The next bytes of what was answered so far; none at its end."""
    server = server_of(request)
    with _held(server, who, job_id, fence):
        lines = _journals(server).read(job_id, name, offset, CHUNK)
    return Response(lines, media_type="application/octet-stream")


@router.patch("/{job_id}/journals/{name}")
def add_to_journal(
    request: Request, job_id: str, name: Journal, fence: Annotated[Fence, Query()], offset: Annotated[Count, Query()],
    lines: Octets, who: Annotated[Viewer, Depends(viewer)],
) -> End:  # fmt: skip
    """Add whole lines at a journal's end."""
    server = server_of(request)
    if len(lines) > server.settings.part:
        raise TooMuch(f"at most {server.settings.part:,} bytes are added at once", mend="send fewer lines")
    with _held(server, who, job_id, fence):  # in its transaction: nobody else adds meanwhile
        return End(size=_journals(server).append(job_id, name, offset, lines))


def _worker(who: Viewer) -> Worker:
    who.require("worker")
    assert who.worker is not None
    return who.worker


@contextmanager
def _held(server: Server, who: Viewer, job_id: str, fence: int) -> Iterator[tuple[Session, Job]]:
    """A job that the worker has, in a writing transaction that also keeps its lease."""
    worker = _worker(who)
    with server.database.write() as session:
        job = queue.held(session, worker, job_id, fence)
        queue.heartbeat(session, job, server.settings.lease_seconds, server.clock())
        server.leases.heard(job)
        yield session, job


def _journals(server: Server) -> Journals:
    return Journals(server.settings.journals)


def _keep(session: Session, server: Server, sha256: str, now: int) -> None:
    """Enter a file that is whole in the storage."""
    session.merge(Blob(sha256=sha256, size=server.storage.size(sha256), created=now))


def _stored(session: Session, sha256: str) -> None:
    known = session.get(Blob, sha256)
    if known is None:
        raise NotThere(f"no blob {sha256[:12]}… was put", mend="put it first")
