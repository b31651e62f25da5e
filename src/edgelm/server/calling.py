"""What calls are given by the application, and the answer of those that have nothing more to say."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends

from edgelm.server.access import Viewer, viewer
from edgelm.server.app import server_of
from edgelm.server.fields import Body
from edgelm.server.idempotency import Call, call
from edgelm.server.state import Server

Served = Annotated[Server, Depends(server_of)]
Asking = Annotated[Viewer, Depends(viewer)]
Calling = Annotated[Call, Depends(call)]


class Done(Body):
    """It is done, and nothing more is to be said."""

    done: Literal[True] = True
