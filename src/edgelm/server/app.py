"""The web application: every router of `api` and `pages`, within what `web` puts around all of them."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from anyio import to_thread
from fastapi import FastAPI, Request

from edgelm import __version__
from edgelm.server import api, pages, web
from edgelm.server.chores import doing
from edgelm.server.state import Server

_THREADS = 100  # of calls at once: those that wait for their turn to write leave enough for those that read


def create_app(server: Server) -> FastAPI:
    """The application of a server whose tables are up to date."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        with doing(server):
            yield
        server.database.close()

    # The framework's own pages of documentation load scripts of other hosts.
    app = FastAPI(
        title=server.settings.title, version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        redirect_slashes=False,  # it would send browsers to whatever host they named
    )  # fmt: skip
    app.state.server = server
    web.install(app, server.settings)
    for folder in (api, pages):
        for module in pkgutil.iter_modules(folder.__path__):
            if not module.ispkg:
                app.include_router(import_module(f"{folder.__name__}.{module.name}").router)
    import_module(f"{pages.__name__}.frame.errors").install(app)  # which, as all calls do, imports `server_of` of here
    return app


def server_of(request: Request) -> Server:
    """The server that a request reached: what calls depend on."""
    found: Server = request.app.state.server
    return found
