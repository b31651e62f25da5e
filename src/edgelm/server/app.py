"""The web application: every router of `api`, and errors in the one shape that all of `edgelm` has."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from edgelm import __version__
from edgelm.errors import InputError
from edgelm.server import api
from edgelm.server.refusals import Refused
from edgelm.server.state import Server


def create_app(server: Server) -> FastAPI:
    """The application of a server whose tables are up to date."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        server.database.close()

    app = FastAPI(title=server.settings.title, version=__version__, lifespan=life)
    app.state.server = server
    app.add_exception_handler(InputError, _refused)
    for module in pkgutil.iter_modules(api.__path__):
        app.include_router(import_module(f"{api.__name__}.{module.name}").router)
    return app


def server_of(request: Request) -> Server:
    """The server that a request reached: what calls depend on."""
    found: Server = request.app.state.server
    return found


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    status, code = (error.status, error.code) if isinstance(error, Refused) else (400, "")
    return JSONResponse({"code": code, "what": error.what, "why": error.why, "mend": error.mend}, status)
