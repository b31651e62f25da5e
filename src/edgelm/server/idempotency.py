"""Requests that may be sent again: what bears an `Idempotency-Key` is done once, and answered alike each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import delete
from sqlalchemy.orm import Session

from edgelm.files import canonical_json, sha256_bytes
from edgelm.server.access import Viewer, viewer
from edgelm.server.app import server_of
from edgelm.server.clock import SECOND
from edgelm.server.refusals import Conflict
from edgelm.server.state import Server
from edgelm.server.tables import Answered

_KEPT = 24 * 60 * 60 * SECOND
Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,200}$")]


@dataclass(frozen=True)
class Call:
    """A request that changes something, who sent it and its time."""

    server: Server
    viewer: Viewer
    now: int
    key: str | None
    request: str  # digest of method, path and body

    def answered(self) -> JSONResponse | None:
        """The answer that the request had before; what costs much asks for it first.

        Raises:
            Conflict: the key came with another request before.
        """
        with self.server.database.read() as session:
            return self._before(session)

    def once(self, work: Callable[[Session], BaseModel], status: int = 201, secret: str | None = None) -> JSONResponse:
        """Do the work in one writing transaction and keep its answer with it; if it was done before, only answer.

        Args:
            work: what is done; what it returns is the answer.
            status: that the answer has.
            secret: a field of the answer that is shown once: it is not kept, and empty when answered again.

        Raises:
            Conflict: the key came with another request before.
        """
        who = self.viewer.actor.id
        with self.server.database.write() as session:
            if before := self._before(session):
                return before
            body = work(session).model_dump(mode="json")
            if self.key:
                session.execute(delete(Answered).where(Answered.created <= self.now - _KEPT))
                kept = {**body, secret: ""} if secret else body
                session.add(Answered(user_id=who, key=self.key, request=self.request, status=status, body=kept,
                                     created=self.now))  # fmt: skip
        return JSONResponse(body, status)

    def _before(self, session: Session) -> JSONResponse | None:
        before = session.get(Answered, (self.viewer.actor.id, self.key)) if self.key else None
        if before is None or before.created <= self.now - _KEPT:
            return None
        if before.request != self.request:
            why = f"Idempotency-Key {self.key} came with another"
            raise Conflict("this is another request than before", why=why, mend="take a new key")
        return JSONResponse(before.body, before.status, {"Idempotency-Replayed": "true"})


async def call(request: Request, who: Annotated[Viewer, Depends(viewer)], key: Key = None) -> Call:
    """The request at hand; what calls that change something depend on. Visitors have no keys."""
    told = [request.method, request.url.path, sha256_bytes(await request.body())]
    server = server_of(request)
    return Call(server, who, server.clock(), None if who.role == "visitor" else key, sha256_bytes(canonical_json(told)))
