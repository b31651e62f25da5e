"""One's team: found or join one, who is in it, its slots and what it handed in."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Response

from edgelm.errors import InputError
from edgelm.server.api import slots, stage2, submissions, teams, uploads, webhooks
from edgelm.server.api.uploads import own_team
from edgelm.server.fields import Digest
from edgelm.server.pages.frame.visit import Visit, Visiting, answered

router = APIRouter(include_in_schema=False)
_MOST = 200  # submissions that are listed


@router.get("/team")
def team(at: Visiting) -> Response:
    """One's team, or how to come into one."""
    return _team(at)


@router.post("/team/found")
def found(at: Visiting) -> Response:
    """Register a team."""
    return at.take(lambda _: teams.create(at.read(teams.NewTeam), at.call), _team, "/team", "team")


@router.get("/join")
def invitation(at: Visiting) -> Response:
    """Where the link of an invitation leads."""
    _ = at.viewer.known
    return at.page("join")


@router.post("/join/form")
def join(at: Visiting) -> Response:
    """Join a team by an invitation."""
    return at.take(
        lambda _: teams.join(at.value("team"), at.read(teams.Joining), at.call), invitation, "/team", "joined"
    )


@router.post("/team/tracks")
def set_tracks(at: Visiting) -> Response:
    """Register for other tracks."""
    return at.take(
        lambda _: teams.set_tracks(own_team(at.viewer), at.read(teams.NewTracks), at.server, at.viewer),
        _team, "/team", "tracks",
    )  # fmt: skip


@router.post("/team/invite")
def invite(at: Visiting) -> Response:
    """Invite someone, and show the link once, for those whom no mail reaches."""
    try:
        made = answered(teams.invite(own_team(at.viewer), at.read(teams.NewInvitation), at.call))
    except InputError as error:
        return _team(at.refused(error))
    link = ""
    if made["secret"]:
        link = (
            f"{at.server.settings.public_url}/join?{urlencode({'team': at.viewer.team_id, 'secret': made['secret']})}"
        )
    return _team(at, made["email"], link)


@router.post("/team/invitation/{invitation_id}/take-back")
def take_back(invitation_id: Digest, at: Visiting) -> Response:
    """Take an invitation back."""
    return at.take(
        lambda _: teams.take_back(own_team(at.viewer), invitation_id, at.server, at.viewer),
        _team, "/team", "invitation-gone",
    )  # fmt: skip


@router.post("/team/leave")
def leave(at: Visiting) -> Response:
    """Leave the team."""
    return at.take(
        lambda _: teams.remove(own_team(at.viewer), at.viewer.known.id, at.server, at.viewer), _team, "/team", "left"
    )


@router.post("/team/member/{user_id}/remove")
def remove(user_id: str, at: Visiting) -> Response:
    """Remove another member."""
    return at.take(
        lambda _: teams.remove(own_team(at.viewer), user_id, at.server, at.viewer), _team, "/team", "removed"
    )


@router.post("/team/captain")
def make_captain(at: Visiting) -> Response:
    """Hand the captain's part over."""
    return at.take(
        lambda _: teams.make_captain(own_team(at.viewer), at.read(teams.NewCaptain), at.server, at.viewer),
        _team, "/team", "captain",
    )  # fmt: skip


@router.post("/team/webhook")
def create_webhook(at: Visiting) -> Response:
    """Have the team's messages posted to an address, and show the secret that signs them once."""
    try:
        made = webhooks.create_for_team(own_team(at.viewer), at.read(webhooks.NewWebhook), at.call)
    except InputError as error:
        return _team(at.refused(error))
    return _team(at, webhook_secret=answered(made)["secret"])


@router.post("/team/webhook/{webhook_id}/remove")
def remove_webhook(webhook_id: str, at: Visiting) -> Response:
    """Post nothing there any more."""
    return at.take(
        lambda _: webhooks.remove_from_team(own_team(at.viewer), webhook_id, at.call), _team, "/team", "webhook-gone"
    )


@router.post("/team/webhook/{webhook_id}/test")
def test_webhook(webhook_id: str, at: Visiting) -> Response:
    """Post a message that tells of nothing."""
    return at.take(
        lambda _: webhooks.test_for_team(own_team(at.viewer), webhook_id, at.call), _team, "/team", "webhook-test"
    )


def _team(at: Visit, invited: str = "", link: str = "", webhook_secret: str = "") -> Response:
    """The page of one's team; `link` is of the invitation and the secret of the webhook that were made just now."""
    _ = at.viewer.known
    if at.viewer.team_id is None:
        return at.page("no_team")
    shown = teams.show(at.viewer.team_id, at.server, at.viewer)
    return at.page(
        "team", team=shown, me=next(each for each in shown.members if each.user == at.viewer.known.id),
        ledgers=slots.ledgers(shown.id, at.request, at.viewer).ledgers, invited=invited, link=link,
        webhooks=webhooks.of_team(shown.id, at.server, at.viewer), webhook_secret=webhook_secret,
        submissions=submissions.listed(at.request, at.viewer, limit=_MOST).submissions,
        underway=uploads.underway(at.request, at.viewer).uploads,
        examined=stage2.of_team(shown.id, at.server, at.viewer),
    )  # fmt: skip
