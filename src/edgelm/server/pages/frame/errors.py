"""Refusals as pages: whoever asks for HTML gets the same status and words as one, all others JSON as before."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders

from edgelm.errors import InputError
from edgelm.server.access import Viewer, cookie_name, viewer
from edgelm.server.app import server_of
from edgelm.server.pages.frame.visit import Visit, answered
from edgelm.server.web import SAFE

_LOGIN = "/login"
_OF_BODY = ("content-length", "content-type")  # headers


def install(app: FastAPI) -> None:
    """Wrap the handlers that an application has by now."""
    for kind, handler in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _as_page(handler))


def _as_page(handler: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Request, error: Exception) -> Response:
        told = handler(request, error)
        response: Response = await told if inspect.isawaitable(told) else told
        if "text/html" not in request.headers.get("accept", ""):
            return response
        path = request.url.path
        if response.status_code == 401 and request.method == "GET" and path != _LOGIN:
            asked = f"{path}?{request.url.query}" if request.url.query else path
            server = server_of(request)
            ended = cookie_name(server.settings) in request.cookies
            return Visit(server, Viewer(), request).go(f"{_LOGIN}?next={quote(asked)}", "ended" if ended else "")
        who = Viewer() if response.status_code >= 500 else await _viewer(request)
        try:
            page = Visit(server_of(request), who, request).page(
                "refusal", refusal=answered(response), status=response.status_code
            )
        except SQLAlchemyError:  # the rules, whose tracks stand on every page, are in the database
            return response
        kept = {name: value for name, value in response.headers.items() if name not in _OF_BODY}
        page.status_code = response.status_code
        MutableHeaders(raw=page.raw_headers).update(kept)
        return page

    return answer


async def _viewer(request: Request) -> Viewer:
    """Who asks, for the page's navigation; nobody if that cannot be told."""
    if request.method not in SAFE:
        return Viewer()
    try:
        return await viewer(request)
    except (InputError, SQLAlchemyError):
        return Viewer()
