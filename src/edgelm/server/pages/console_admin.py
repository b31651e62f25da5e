"""The server and its people: accounts, workers' keys, webhooks, health, backups."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgelm.errors import InputError
from edgelm.server.access import LADDER
from edgelm.server.api import admin, health, webhooks
from edgelm.server.api.submissions import Id
from edgelm.server.pages.frame.forms import read
from edgelm.server.pages.frame.organising import Administering, Organising
from edgelm.server.pages.frame.visit import Visit, answered
from edgelm.server.refusals import NotThere

router = APIRouter(prefix="/console/admin", include_in_schema=False)
_ADMIN = "/console/admin"


@router.get("")
def show(at: Organising) -> Response:
    """The server; to administrators its people and workers, too."""
    return _show(at)


@router.post("/worker")
def new_worker(at: Administering) -> Response:
    """Make a key for a machine, and show it once."""
    try:
        tags = " ".join(at.typed.get("tags", ())).replace(",", " ").split()
        made = answered(admin.new_worker(read(admin.NewWorker, {**at.typed, "tags": tags}), at.call))
    except InputError as error:
        return _show(at.refused(error))
    return _show(at, key=made["key"])


@router.post("/worker/{name}/disable")
def disable_worker(name: str, at: Administering) -> Response:
    """End a machine's key."""
    return at.take(lambda _: admin.disable_worker(name, at.server, at.viewer), _show, _ADMIN, "worker-gone")


@router.post("/webhook")
def create_webhook(at: Organising) -> Response:
    """Have what organisers are told posted to an address, and show the secret that signs it once."""
    try:
        made = answered(webhooks.create_for_organisers(at.read(webhooks.NewWebhook), at.call))
    except InputError as error:
        return _show(at.refused(error))
    return _show(at, webhook_secret=made["secret"])


@router.post("/webhook/{webhook_id}/remove")
def remove_webhook(webhook_id: str, at: Organising) -> Response:
    """Post nothing there any more."""
    return at.take(lambda _: webhooks.remove_from_organisers(webhook_id, at.call), _show, _ADMIN, "webhook-gone")


@router.post("/webhook/{webhook_id}/test")
def test_webhook(webhook_id: str, at: Organising) -> Response:
    """Post a message that tells of nothing."""
    return at.take(lambda _: webhooks.test_for_organisers(webhook_id, at.call), _show, _ADMIN, "webhook-test")


@router.get("/users/{user_id}")
def user(user_id: Id, at: Administering) -> Response:
    """One account."""
    return _user(at, user_id)


@router.post("/users/{user_id}/role")
def set_role(user_id: Id, at: Administering) -> Response:
    """Give someone another role."""
    return at.take(
        lambda _: admin.set_role(user_id, at.read(admin.NewRole), at.call), lambda again: _user(again, user_id),
        f"{_ADMIN}/users/{user_id}", "role",
    )  # fmt: skip


@router.post("/users/{user_id}/disable")
def disable(user_id: Id, at: Administering) -> Response:
    """Shut someone out."""
    return at.take(
        lambda _: admin.disable(user_id, at.read(admin.Reason), at.call), lambda again: _user(again, user_id),
        f"{_ADMIN}/users/{user_id}", "shut-out",
    )  # fmt: skip


@router.post("/users/{user_id}/enable")
def enable(user_id: Id, at: Administering) -> Response:
    """Let someone in again."""
    return at.take(
        lambda _: admin.enable(user_id, at.read(admin.Reason), at.call), lambda again: _user(again, user_id),
        f"{_ADMIN}/users/{user_id}", "let-in",
    )  # fmt: skip


@router.post("/users/{user_id}/second-factor")
def reset_second_factor(user_id: Id, at: Administering) -> Response:
    """Take one-time passwords away from someone who lost them."""
    return at.take(
        lambda _: admin.reset_second_factor(user_id, at.read(admin.Reason), at.call),
        lambda again: _user(again, user_id), f"{_ADMIN}/users/{user_id}", "second-factor-gone",
    )  # fmt: skip


@router.post("/users/{user_id}/reset")
def begin_reset(user_id: Id, at: Administering) -> Response:
    """Make a link for a new password, and show it once."""
    try:
        made = answered(admin.begin_reset(user_id, at.read(admin.Reason), at.call))
    except InputError as error:
        return _user(at.refused(error), user_id)
    secret = made["secret"]
    return _user(at, user_id, f"{at.server.settings.public_url}/reset?secret={secret}" if secret else "")


def _show(at: Visit, key: str = "", webhook_secret: str = "") -> Response:
    """The page; `key` is of a worker and the secret of a webhook that were made just now."""
    administers = at.viewer.may("admin")
    return at.page(
        "console/admin", health=health.show(at.server, at.viewer), folder=at.server.settings.folder,
        users=admin.users(at.server, at.viewer) if administers else [],
        workers=admin.workers(at.server, at.viewer), webhooks=webhooks.of_organisers(at.server, at.viewer),
        administers=administers, key=key, webhook_secret=webhook_secret,
    )  # fmt: skip


def _user(at: Visit, user_id: str, link: str = "") -> Response:
    for each in admin.users(at.server, at.viewer):
        if each.id == user_id:
            return at.page("console/user", account=each, roles=LADDER, link=link)
    raise NotThere("there is no such account", mend="see all accounts")
