"""Teams over HTTP: register, invite, join, leave, hand the captain's part over."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from limits import RateLimitItemPerDay
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.server import teams
from edgelm.server.calling import Asking, Calling, Done, Served
from edgelm.server.fields import Body, Digest, Email, Name, Secret
from edgelm.server.tables import Invitation, Member, Team

router = APIRouter(prefix="/teams", tags=["teams"])
_INVITATIONS_TO = RateLimitItemPerDay(5)  # one address, from whatever teams
_INVITATIONS_BY = RateLimitItemPerDay(20)  # a team, taken back or not; and a captain, who may found teams anew
Tracks = Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=20)]


class Certified(Body):
    """What everyone says who joins a team; kept with its date. It is checked at random later."""

    only_team: Literal[True]  # I am in no other team, and do not run the competition
    student: bool  # I am a student


class NewTeam(Certified):
    """What a team is made of."""

    name: Name
    tracks: Tracks


class Joining(Certified):
    """An invitation that is accepted."""

    secret: Secret


class NewTracks(Body):
    """The tracks that a team takes part in."""

    tracks: Tracks


class NewCaptain(Body):
    """Who is to be captain."""

    user: Annotated[str, Field(max_length=100)]


class NewInvitation(Body):
    """Who is to be invited."""

    email: Email


class MemberView(Body):
    """A member; times are microseconds of UTC."""

    user: str
    name: str
    email: str
    captain: bool
    student: bool
    joined: int

    @classmethod
    def of(cls, member: Member) -> MemberView:
        """A member as the others of the team, and organisers, see them."""
        return cls(user=member.user_id, name=member.user.name, email=member.user.email, captain=member.captain,
                   student=member.student, joined=member.joined)  # fmt: skip


class InvitationView(Body):
    """An invitation that is open; `secret` is there once, when it was made."""

    id: str
    email: str
    created: int
    expires: int
    secret: str = ""

    @classmethod
    def of(cls, invitation: Invitation, secret: str = "") -> InvitationView:
        """An invitation as the team sees it."""
        return cls(id=invitation.sha256, email=invitation.email, created=invitation.created,
                   expires=invitation.expires, secret=secret)  # fmt: skip


class TeamView(Body):
    """A team as its members and organisers see it."""

    id: str
    name: str
    tracks: list[str]
    created: int
    members: list[MemberView]
    invitations: list[InvitationView]

    @classmethod
    def of(cls, session: Session, team: Team) -> TeamView:
        """A team, with who is invited."""
        return cls(id=team.id, name=team.name, tracks=team.tracks, created=team.created,
                   members=[MemberView.of(member) for member in team.members],
                   invitations=[InvitationView.of(each) for each in teams.invitations(session, team.id)])  # fmt: skip


@router.get("", response_model=list[TeamView])
def everyone(server: Served, who: Asking) -> list[TeamView]:
    """All teams, for who runs the competition."""
    who.require("reviewer")
    with server.database.read() as session:
        return [TeamView.of(session, team) for team in teams.everyone(session)]


@router.post("", status_code=201, response_model=TeamView)
def create(body: NewTeam, calling: Calling) -> Response:
    """Register a team; who asks is its captain."""
    who, rules = calling.viewer, calling.server.rules
    who.require("participant")

    def work(session: Session) -> TeamView:
        team = teams.create(session, who.actor, body.name, body.tracks, rules, calling.now, student=body.student)
        return TeamView.of(session, team)

    return calling.once(work)


@router.get("/{team_id}", response_model=TeamView)
def show(team_id: str, server: Served, who: Asking) -> TeamView:
    """A team, for its members and who runs the competition."""
    who.require_sight(team_id)
    with server.database.read() as session:
        return TeamView.of(session, teams.find(session, team_id))


@router.put("/{team_id}/tracks", response_model=TeamView)
def set_tracks(team_id: str, body: NewTracks, server: Served, who: Asking) -> TeamView:
    """Register for other tracks, as captain."""
    who.require_member(team_id)
    with server.database.write() as session:
        team = teams.set_tracks(session, who.actor, team_id, body.tracks, server.rules, server.clock())
        return TeamView.of(session, team)


@router.post("/{team_id}/invitations", status_code=201, response_model=InvitationView)
def invite(team_id: str, body: NewInvitation, calling: Calling) -> Response:
    """Invite someone by mail, as captain; the secret may also be handed over in another way."""
    who, server = calling.viewer, calling.server
    who.require_member(team_id)

    def work(session: Session) -> InvitationView:
        made = teams.invite(
            session, who.actor, team_id, body.email, server.rules, calling.now, server.settings.public_url
        )
        for sender in (team_id, who.actor.id):  # only now: what is refused, to a member say, uses nothing up
            server.rates.hit(_INVITATIONS_BY, "invitations by", sender)
        server.rates.hit(_INVITATIONS_TO, "invitations to", sha256(body.email.encode()).hexdigest())
        return InvitationView.of(*made)

    return calling.once(work, secret="secret")


@router.delete("/{team_id}/invitations/{invitation_id}", response_model=Done)
def take_back(team_id: str, invitation_id: Digest, server: Served, who: Asking) -> Done:
    """Take an invitation back, as captain."""
    who.require_member(team_id)
    with server.database.write() as session:
        teams.take_back(session, who.actor, team_id, invitation_id, server.clock())
    return Done()


@router.post("/{team_id}/members", status_code=201, response_model=TeamView)
def join(team_id: str, body: Joining, calling: Calling) -> Response:
    """Join a team that one was invited to."""
    who, rules = calling.viewer, calling.server.rules
    who.require("participant")

    def work(session: Session) -> TeamView:
        team = teams.accept(session, who.actor, team_id, body.secret, rules, calling.now, student=body.student)
        return TeamView.of(session, team)

    return calling.once(work)


@router.delete("/{team_id}/members/{user_id}", response_model=Done)
def remove(team_id: str, user_id: str, server: Served, who: Asking, reason: str = "") -> Done:
    """Leave, or remove another member as captain or organiser."""
    if not who.may("organiser"):
        who.require_member(team_id)
    with server.database.write() as session:
        if user_id == who.known.id:
            teams.leave(session, who.actor, team_id, server.clock())
        else:
            teams.remove(session, who.actor, team_id, user_id, reason[:1000], server.clock())
    return Done()


@router.put("/{team_id}/captain", response_model=TeamView)
def make_captain(team_id: str, body: NewCaptain, server: Served, who: Asking) -> TeamView:
    """Hand the captain's part to another member, as captain or organiser."""
    if not who.may("organiser"):
        who.require_member(team_id)
    with server.database.write() as session:
        team = teams.make_captain(session, who.actor, team_id, body.user, server.clock())
        return TeamView.of(session, team)
