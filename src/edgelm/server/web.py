"""What holds for every request and answer: headers that browsers obey, sizes, and errors in one shape."""

from __future__ import annotations

import time
from sqlite3 import SQLITE_FULL
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.errors import DiskFull
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgelm.errors import InputError
from edgelm.server.refusals import Forbidden, Refused, TooMuch, TooOften
from edgelm.server.settings import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # unless an answer says otherwise, because it shows all the same
}
_YEAR = 365 * 24 * 60 * 60
_UPLOADS = ("/blobs/", "/tus/")
_SMALL, _LARGE = 2**20, 64 * 2**20  # bytes of a body
# Whose bodies are manifests, reports and small packages.
_LARGER = ("/uploads", "/jobs/", "/submit/archive", "/smoke-run/archive")
SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing
_log = structlog.get_logger("edgelm.server")


class Guard:
    """The outermost layer: refuses what no call takes, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = dict(HEADERS)
        if settings.public_url.startswith("https:"):
            self._headers["Strict-Transport-Security"] = f"max-age={_YEAR}; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            app = _refusing(refusal) if (refusal := _refusal(scope)) else self._app
            await app(scope, _counted(scope, receive), sending)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "none")
            scope["app"].state.server.requests.count(scope["method"], route, status, seconds)
            _log.info("request", method=scope["method"], path=scope["path"], status=status, ms=round(1000 * seconds, 1))


def install(app: FastAPI, settings: Settings) -> None:
    """Put all of this around an application, whose state has the server."""
    app.add_middleware(Guard, settings=settings)
    for kind, handler in (
        (InputError, _refused), (RequestValidationError, _not_understood), (HTTPException, _by_framework),
        (OperationalError, _no_database), (InterfaceError, _no_database), (TimeoutError, _no_database),
        (Exception, _fault),
    ):  # fmt: skip
        app.add_exception_handler(kind, handler)


def _refusal(scope: Scope) -> Refused | None:
    """Why a request is not even looked at."""
    headers = Headers(scope=scope)
    if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
        return Refused("a character of the address is not taken", mend="check the address")
    if scope["method"] not in SAFE and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return Forbidden("a page of another site sent this", mend="send it from a page of this server")
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > _most(scope):
        return TooMuch("the body is too large", why=f"it has {length[:20]} bytes, {_most(scope):,} are taken")
    return None


def _refusing(refusal: Refused) -> ASGIApp:
    """What answers a request that no call sees: as the application does, which has pages for browsers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer: Response = await scope["app"].exception_handlers[InputError](request, refusal)
        await answer(scope, receive, send)

    return app


def _most(scope: Scope) -> int:
    """The bytes that a body may have; parts of uploads are counted where they are stored, and not held in memory."""
    if scope["method"] == "PATCH" and scope["path"].startswith(_UPLOADS):
        return 2**63
    return _LARGE if scope["path"].startswith(_LARGER) else _SMALL


def _counted(scope: Scope, receive: Receive) -> Receive:
    """The body as it comes, up to what is taken: one may come without saying beforehand how long it is."""
    left = _most(scope)

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooMuch("the body is too large", why=f"{_most(scope):,} bytes are taken")
        return message

    return receiving


def _answer(error: InputError) -> JSONResponse:
    status, code = (error.status, error.code) if isinstance(error, Refused) else (400, "")
    headers = {"Retry-After": str(error.wait)} if isinstance(error, TooOften) else None
    return _shaped(status, error.what, error.why, error.mend, code, headers)


def _shaped(status: int, what: str, why: str = "", mend: str = "", code: str = "", headers: Any = None) -> JSONResponse:
    body = {"code": code, "what": what, "why": why, "mend": mend}
    # The name of an unknown field may hold half of a character, which no answer can.
    return JSONResponse({name: text.encode(errors="replace").decode() for name, text in body.items()}, status, headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return _answer(error)


async def _not_understood(_: Request, error: Exception) -> JSONResponse:
    """Name the fields, but repeat no value: it may be a password."""
    assert isinstance(error, RequestValidationError)
    why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:10])
    return _shaped(422, "the request is not understood", why, "see /openapi.json for what is taken")


async def _by_framework(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _shaped(error.status_code, str(error.detail), headers=error.headers)


async def _no_database(_: Request, error: Exception) -> JSONResponse:
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlite_errorcode", None) == SQLITE_FULL or isinstance(cause, DiskFull):
        _log.error("the database's disk is full")
        return _shaped(507, "the server's disk is full", "nothing of this request was kept", "tell the organisers")
    _log.error("no database", error=type(error).__name__)
    return _shaped(503, "the database does not answer", mend="try again in a minute", headers={"Retry-After": "30"})


async def _fault(request: Request, error: Exception) -> JSONResponse:
    _log.error("fault", path=request.url.path, error=repr(error))
    return _shaped(500, "this is a fault of the server", mend="tell the organisers when it happened", headers=HEADERS)
