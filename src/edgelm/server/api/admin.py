"""Others' accounts and the keys of workers over HTTP, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.server import accounts
from edgelm.server.access import UserRole, Viewer
from edgelm.server.api.accounts import Account
from edgelm.server.calling import Asking, Calling, Done, Served
from edgelm.server.fields import Body, Prose
from edgelm.server.idempotency import Call
from edgelm.server.tables import Worker

router = APIRouter(tags=["admin"])


class ResetLink(Body):
    """The secret of a link by which its owner sets a new password within a day, shown once."""

    secret: str


class NewRole(Body):
    """Another role for someone."""

    role: UserRole
    reason: Prose


class Reason(Body):
    """Why."""

    reason: Prose


class NewWorker(Body):
    """A machine that is to evaluate."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    tags: Annotated[list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,30}$")]], Field(max_length=20)] = Field(
        default_factory=list
    )


class WorkerView(Body):
    """A machine that evaluates; `key` is there once, when it was made."""

    name: str
    tags: list[str]
    created: int
    seen: int | None
    disabled: bool
    key: str = ""

    @classmethod
    def of(cls, worker: Worker, key: str = "") -> WorkerView:
        """A machine as organisers see it."""
        return cls(name=worker.name, tags=worker.tags, created=worker.created, seen=worker.seen,
                   disabled=worker.disabled, key=key)  # fmt: skip


@router.get("/admin/users", response_model=list[Account])
def users(server: Served, who: Asking) -> list[Account]:
    """All accounts."""
    who.require("admin")
    with server.database.read() as session:
        return [Account.of(user) for user in accounts.users(session)]


@router.post("/admin/users/{user_id}/role", response_model=Account)
def set_role(user_id: str, body: NewRole, calling: Calling) -> Response:
    """Give someone another role."""
    _administer(calling.viewer)
    return calling.once(
        lambda session: Account.of(
            accounts.set_role(session, calling.viewer.actor, user_id, body.role, body.reason, calling.now)
        ),
        200,
    )


@router.post("/admin/users/{user_id}/disable", response_model=Account)
def disable(user_id: str, body: Reason, calling: Calling) -> Response:
    """Shut someone out."""
    return _set_disabled(user_id, True, body, calling)


@router.post("/admin/users/{user_id}/enable", response_model=Account)
def enable(user_id: str, body: Reason, calling: Calling) -> Response:
    """Let someone in again."""
    return _set_disabled(user_id, False, body, calling)


@router.post("/admin/users/{user_id}/reset", status_code=201, response_model=ResetLink)
def begin_reset(user_id: str, body: Reason, calling: Calling) -> Response:
    """Make a link for someone who forgot the password and gets no mail."""
    _administer(calling.viewer)
    url = calling.server.settings.public_url

    def work(session: Session) -> ResetLink:
        user = accounts.find(session, user_id)
        secret = accounts.begin_reset(session, calling.viewer.actor, user, url, calling.now, body.reason)
        return ResetLink(secret=secret)

    return calling.once(work, secret="secret")


@router.post("/admin/users/{user_id}/second-factor/reset", response_model=Account)
def reset_second_factor(user_id: str, body: Reason, calling: Calling) -> Response:
    """Take away one-time passwords of someone who lost their telephone."""
    _administer(calling.viewer)
    return calling.once(
        lambda session: Account.of(
            accounts.reset_second_factor(session, calling.viewer.actor, user_id, body.reason, calling.now)
        ),
        200,
    )


@router.get("/admin/workers", response_model=list[WorkerView])
def workers(server: Served, who: Asking) -> list[WorkerView]:
    """All machines that evaluate."""
    who.require("organiser")
    with server.database.read() as session:
        return [WorkerView.of(worker) for worker in accounts.workers(session)]


@router.post("/admin/workers", status_code=201, response_model=WorkerView)
def new_worker(body: NewWorker, calling: Calling) -> Response:
    """Make a key for a machine, shown once; the one that it had ends."""
    _administer(calling.viewer)
    return calling.once(
        lambda session: WorkerView.of(
            *accounts.new_worker(session, calling.viewer.actor, body.name, body.tags, calling.now)
        ),
        secret="key",
    )


@router.delete("/admin/workers/{name}", response_model=Done)
def disable_worker(name: str, server: Served, who: Asking) -> Done:
    """End a machine's key."""
    _administer(who)
    with server.database.write() as session:
        accounts.disable_worker(session, who.actor, name, server.clock())
    return Done()


def _set_disabled(user_id: str, disabled: bool, body: Reason, calling: Call) -> Response:
    _administer(calling.viewer)
    return calling.once(
        lambda session: Account.of(
            accounts.set_disabled(session, calling.viewer.actor, user_id, disabled, body.reason, calling.now)
        ),
        200,
    )


def _administer(who: Viewer) -> None:
    """Accounts and keys are changed by administrators, from a fresh login."""
    who.require("admin")
    who.require_fresh()
