"""Uploads: a manifest, then the files that are missing, part by part as tus 1.0 has it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.exceptions import HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from edgelm.server import possession, room, uploads
from edgelm.server.access import Viewer
from edgelm.server.app import server_of
from edgelm.server.calling import Asking, Calling
from edgelm.server.fields import Body, Digest
from edgelm.server.refusals import Conflict, Forbidden, Refused, TooMuch
from edgelm.server.state import Server
from edgelm.server.tables import Upload

router = APIRouter(tags=["uploads"])

TUS = "1.0.0"
_PIECE = 2**20  # bytes that are written at a time
_SILENCE = 60  # seconds that a sender may be silent
_BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}}
_PART = {
    "requestBody": {
        "content": {"application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }
}
_DIGEST = "^[0-9a-f]{64}$"
_beginning = threading.Lock()  # so that room which was found for one package is not promised to another
Sha256 = Annotated[str, Path(pattern=_DIGEST)]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, lt=2**63)]


class Missing(BaseModel):
    """A file that is still to come."""

    sha256: Digest
    size: int  # bytes
    offset: int  # bytes that are here
    proof: list[possession.Range]  # bytes that show you to have it, which another brought: POST …/proofs; else none


class Begun(BaseModel):
    """An upload and what it still lacks."""

    id: str
    title: str
    manifest: Digest
    track: str
    part: int  # bytes of the largest part with a checksum
    nonce: str  # that proofs begin with
    missing: list[Missing]


class Underway(BaseModel):
    """An upload that was begun and not handed in, in short. Times are microseconds of UTC, sizes bytes."""

    id: str
    title: str
    track: str
    manifest: Digest
    begun: int
    expires: int  # when it is given up
    size: int  # of all its files
    lacking: int  # files that have not come, or not as a whole
    left: int  # what is still to come of them


class AllUnderway(BaseModel):
    """What a team has begun to upload, the latest first, and how much that may be."""

    uploads: list[Underway]
    most: int


class Proofs(Body):
    """By the digest of a file, the sha256 over the upload's nonce and the bytes of the file that are asked for."""

    proofs: Annotated[dict[Digest, Digest], Field(max_length=1000)]


def own_team(who: Viewer) -> str:
    """The team of whoever asks.

    Raises:
        NotLoggedIn, Forbidden: there is none.
    """
    _ = who.known
    if who.team_id is None:
        raise Forbidden("you are in no team", mend="found one, or accept an invitation")
    return who.team_id


async def body(request: Request) -> bytes:
    """The bytes of a request as they came."""
    return await request.body()


@router.post("/uploads", status_code=201, openapi_extra=_BODY)
def begin(at: Calling, manifest: Annotated[bytes, Depends(body)]) -> Begun:
    """Begin an upload, or find it again, with the package's `edgelm.json` as the body."""
    server, team = at.server, own_team(at.viewer)
    read = uploads.read_manifest(manifest, server.rules, server.settings.max_package)
    with _beginning:
        with server.database.read() as session:
            uploads.require_room(session, server.storage, server.settings, team, read, manifest)
        with server.database.write() as session:
            upload = uploads.begin(session, server.storage, server.settings, at.viewer.actor, team,
                                   at.viewer.known.id, read, manifest, at.now)  # fmt: skip
    with server.database.read() as session:
        return _begun(session, server, upload)


@router.get("/uploads")
def underway(request: Request, who: Asking) -> AllUnderway:
    """What one's team has begun to upload and not handed in: `POST /uploads` with the same manifest goes on with it."""
    server, team = server_of(request), own_team(who)
    with server.database.read() as session:
        begun = [_underway(session, server, each) for each in uploads.of_team(session, team)]
    return AllUnderway(uploads=begun, most=uploads.OPEN)


@router.get("/uploads/{upload}")
def show(upload: str, request: Request, who: Asking) -> Begun:
    """What an upload still lacks."""
    server = server_of(request)
    with server.database.read() as session:
        return _begun(session, server, uploads.find(session, upload, own_team(who)))


@router.post("/uploads/{upload}/proofs")
def prove(upload: str, body: Proofs, at: Calling) -> Begun:
    """Show to have files that another team brought, which need not be sent then; what proves nothing stays missing."""
    team = own_team(at.viewer)
    with at.server.database.read() as session:
        good = uploads.proved(session, at.server.storage, uploads.find(session, upload, team), body.proofs)
    with at.server.database.write() as session:
        found = uploads.find(session, upload, team)
        uploads.mark_shown(session, team, good)
    with at.server.database.read() as session:
        return _begun(session, at.server, found)


@router.delete("/uploads/{upload}", status_code=204)
def give_up(upload: str, at: Calling) -> None:
    """Forget an upload and what has come of it."""
    with at.server.database.write() as session:
        found = uploads.find(session, upload, own_team(at.viewer))
        uploads.give_up(session, at.server.storage, at.viewer.actor, found, at.now)


@router.head("/blobs/{sha256}")
@router.head("/tus/{sha256}")
def offset(sha256: Sha256, request: Request, who: Asking) -> Response:
    """How much of a file is here, in `Upload-Offset`; it is whole once that is `Upload-Length`."""
    _hold_to_tus(request)
    size, here = _state(server_of(request), own_team(who), sha256)
    return Response(headers={"Upload-Offset": str(here), "Upload-Length": str(size), "Tus-Resumable": TUS})


@router.patch("/blobs/{sha256}", status_code=204, openapi_extra=_PART)
@router.patch("/tus/{sha256}", status_code=204, openapi_extra=_PART)
async def receive(
    sha256: Sha256, request: Request, who: Asking, offset: Offset,
    checksum: Annotated[str | None, Header(alias="Upload-Checksum")] = None,
) -> Response:  # fmt: skip
    """Add bytes to a file at the offset where it ends; with `Upload-Checksum: sha256 BASE64` all of them or none.

    Without a checksum what has come of a request that breaks off is kept. The last byte makes the file whole, or, if
    it has another sha256 than its name, makes it begin anew.
    """
    _hold_to_tus(request)
    if request.headers.get("content-type", "") != "application/offset+octet-stream":
        raise HTTPException(415, "a part is sent as application/offset+octet-stream")
    server, expected, team = server_of(request), _checksum(checksum), own_team(who)
    most, reserve = server.settings.part, server.settings.reserve
    size, here = await run_in_threadpool(_state, server, team, sha256)
    if here != offset or here == size:
        raise _elsewhere(here)
    with server.storage.arriving(team, sha256, size) as arriving:
        if arriving.kept != offset:
            raise _elsewhere(arriving.kept)
        try:
            async for piece in _pieces(request):
                room.require_left(server.storage, reserve)
                await run_in_threadpool(arriving.write, piece)
                if arriving.at - arriving.kept > most and expected:
                    why = f"with a checksum it has at most {most:,} bytes"
                    raise TooMuch("the part is too large", why=why, mend="send smaller parts")
                if arriving.at - arriving.kept >= most and arriving.at < size and not expected:
                    await run_in_threadpool(arriving.keep)
        except (ClientDisconnect, TimeoutError):
            if expected is None and arriving.at < size:
                await run_in_threadpool(arriving.keep)
            raise HTTPException(408, "the part broke off") from None
        await run_in_threadpool(arriving.keep, expected)
        if arriving.kept == size:
            await run_in_threadpool(_mark_shown, server, team, sha256)
        return Response(status_code=204, headers={"Upload-Offset": str(arriving.kept), "Tus-Resumable": TUS})


@router.options("/tus", status_code=204)
def abilities(request: Request) -> Response:
    """What of tus 1.0 is spoken here."""
    told = {"Tus-Version": TUS, "Tus-Extension": "creation,checksum", "Tus-Checksum-Algorithm": "sha256",
            "Tus-Max-Size": str(server_of(request).settings.max_package)}  # fmt: skip
    return Response(status_code=204, headers={**told, "Tus-Resumable": TUS})


@router.post("/tus", status_code=201)
def create(
    request: Request, who: Asking,
    length: Annotated[int, Header(alias="Upload-Length", ge=0, lt=2**63)],
    metadata: Annotated[str, Header(alias="Upload-Metadata")],
) -> Response:  # fmt: skip
    """Where a file is sent to whose digest stands in `Upload-Metadata` as `sha256`; an upload must want it."""
    _hold_to_tus(request)
    sha256 = _metadata(metadata).get("sha256", "")
    if not re.fullmatch(_DIGEST, sha256):
        raise Refused("Upload-Metadata names no sha256", mend="send: sha256, a space, and the digest's text in base64")
    size, _ = _state(server_of(request), own_team(who), sha256)
    if size != length:
        raise Conflict(f"the manifest says {size:,} bytes, not {length:,}", mend="run edgelm pack again")
    return Response(status_code=201, headers={"Location": f"/tus/{sha256}", "Tus-Resumable": TUS})


def _begun(session: Session, server: Server, upload: Upload) -> Begun:
    lacks = [Missing(**each._asdict()) for each in uploads.missing(session, server.storage, upload)]
    return Begun(id=upload.id, title=uploads.title(server.storage, upload.manifest), manifest=upload.manifest,
                 track=upload.track, part=server.settings.part, nonce=upload.nonce, missing=lacks)  # fmt: skip


def _underway(session: Session, server: Server, upload: Upload) -> Underway:
    lacks = uploads.missing(session, server.storage, upload)
    return Underway(
        id=upload.id, title=uploads.title(server.storage, upload.manifest), track=upload.track,
        manifest=upload.manifest, begun=upload.created, expires=upload.expires, size=uploads.size(session, upload),
        lacking=len(lacks), left=sum(each.size - each.offset for each in lacks),
    )  # fmt: skip


def _state(server: Server, team: str, sha256: str) -> tuple[int, int]:
    """The size of a file that the team uploads, and how much of it is here."""
    with server.database.read() as session:
        wanted = uploads.wanted_by(session, team, sha256)
    shown = wanted.shown and server.storage.holds(sha256)
    return wanted.size, server.storage.size(sha256) if shown else server.storage.arrived(team, sha256)


def _mark_shown(server: Server, team: str, sha256: str) -> None:
    with server.database.write() as session:
        uploads.mark_shown(session, team, [sha256])


def _elsewhere(here: int) -> Conflict:
    return Conflict(f"the file ends at {here:,} bytes", mend="ask for its offset, and go on from there")


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes, gathered into pieces; what came before a break is given before the break is raised.

    Raises:
        ClientDisconnect: the sender is gone.
        TimeoutError: the sender is silent.
    """
    piece, stream = bytearray(), request.stream()
    broken: Exception | None = None
    while broken is None:
        try:
            async with asyncio.timeout(_SILENCE):
                piece += await anext(stream)
        except StopAsyncIteration:
            break
        except (ClientDisconnect, TimeoutError) as error:
            broken = error
        if len(piece) >= _PIECE or broken:
            yield bytes(piece)
            piece.clear()
    if broken:
        raise broken
    if piece:
        yield bytes(piece)


def _checksum(told: str | None) -> bytes | None:
    if told is None:
        return None
    algorithm, _, encoded = told.partition(" ")
    found = _decoded(encoded)
    if algorithm != "sha256" or len(found) != 32:
        raise Refused("Upload-Checksum is not understood", mend="send: sha256, a space, and the digest in base64")
    return found


def _metadata(told: str) -> Mapping[str, str]:
    """Keys and values of `Upload-Metadata`; what is no text is left out."""
    found = {}
    for pair in told.split(","):
        key, _, encoded = pair.strip().partition(" ")
        with suppress(UnicodeDecodeError):
            found[key] = _decoded(encoded).decode()
    return found


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _hold_to_tus(request: Request) -> None:
    """Refuse other versions of tus; where it is not spoken of, ours is meant."""
    asked = request.headers.get("tus-resumable", "" if request.url.path.startswith("/tus") else TUS)
    if asked != TUS:
        raise HTTPException(412, "this version of tus is not spoken here", headers={"Tus-Version": TUS})
