"""Webhooks over HTTP: of a team by its captain, of the organisers by one of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.server import webhooks
from edgelm.server.calling import Asking, Calling, Done, Served
from edgelm.server.fields import Body
from edgelm.server.tables import Webhook

router = APIRouter(tags=["webhooks"])


class NewWebhook(Body):
    """Where messages are to be posted, by https on the public network."""

    url: Annotated[str, Field(max_length=500, pattern=r"^[\x21-\x7e]+$")]


class WebhookView(Body):
    """A webhook, times in microseconds of UTC; `secret` signs what is posted, and is there once, when it was made."""

    id: str
    url: str
    created: int
    last_sent: int | None
    secret: str = ""

    @classmethod
    def of(cls, session: Session, webhook: Webhook, secret: str = "") -> WebhookView:
        """A webhook as its owners see it."""
        return cls(id=webhook.id, url=webhook.url, created=webhook.created,
                   last_sent=webhooks.last_sent(session, webhook.id), secret=secret)  # fmt: skip


@router.get("/teams/{team_id}/webhooks", response_model=list[WebhookView])
def of_team(team_id: str, server: Served, who: Asking) -> list[WebhookView]:
    """The webhooks of one's team."""
    who.require_member(team_id)
    return _listed(server, team_id)


@router.post("/teams/{team_id}/webhooks", status_code=201, response_model=WebhookView)
def create_for_team(team_id: str, body: NewWebhook, calling: Calling) -> Response:
    """Have what the whole team is told posted to an address, as its captain."""
    calling.viewer.require_member(team_id)
    return _create(team_id, body, calling)


@router.delete("/teams/{team_id}/webhooks/{webhook_id}", response_model=Done)
def remove_from_team(team_id: str, webhook_id: str, calling: Calling) -> Response:
    """Post nothing there any more, as the captain."""
    calling.viewer.require_member(team_id)
    return _remove(team_id, webhook_id, calling)


@router.post("/teams/{team_id}/webhooks/{webhook_id}/test", status_code=201, response_model=Done)
def test_for_team(team_id: str, webhook_id: str, calling: Calling) -> Response:
    """Post a message that tells of nothing, as the captain."""
    calling.viewer.require_member(team_id)
    return _test(team_id, webhook_id, calling)


@router.get("/admin/webhooks", response_model=list[WebhookView])
def of_organisers(server: Served, who: Asking) -> list[WebhookView]:
    """The webhooks of the organisers."""
    who.require("organiser")
    return _listed(server, None)


@router.post("/admin/webhooks", status_code=201, response_model=WebhookView)
def create_for_organisers(body: NewWebhook, calling: Calling) -> Response:
    """Have what all organisers are told posted to an address."""
    calling.viewer.require("organiser")
    return _create(None, body, calling)


@router.delete("/admin/webhooks/{webhook_id}", response_model=Done)
def remove_from_organisers(webhook_id: str, calling: Calling) -> Response:
    """Post nothing there any more."""
    calling.viewer.require("organiser")
    return _remove(None, webhook_id, calling)


@router.post("/admin/webhooks/{webhook_id}/test", status_code=201, response_model=Done)
def test_for_organisers(webhook_id: str, calling: Calling) -> Response:
    """Post a message that tells of nothing."""
    calling.viewer.require("organiser")
    return _test(None, webhook_id, calling)


def _listed(server: Served, team_id: str | None) -> list[WebhookView]:
    with server.database.read() as session:
        return [WebhookView.of(session, webhook) for webhook in webhooks.listed(session, team_id)]


def _create(team_id: str | None, body: NewWebhook, calling: Calling) -> Response:
    def work(session: Session) -> WebhookView:
        made = webhooks.create(session, calling.viewer.actor, team_id, body.url, calling.now)
        return WebhookView.of(session, made, made.secret)

    return calling.once(work, secret="secret")


def _remove(team_id: str | None, webhook_id: str, calling: Calling) -> Response:
    def work(session: Session) -> Done:
        webhooks.remove(session, calling.viewer.actor, team_id, webhook_id, calling.now)
        return Done()

    return calling.once(work, status=200)


def _test(team_id: str | None, webhook_id: str, calling: Calling) -> Response:
    def work(session: Session) -> Done:
        webhooks.test(session, calling.viewer.actor, team_id, webhook_id, calling.now)
        return Done()

    return calling.once(work)
