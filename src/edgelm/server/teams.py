"""Teams: who hands in together, for which tracks. Nobody is in two, and nobody who runs the competition is in one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from edgelm.rules.base import Rules
from edgelm.server import audit, notices, phases
from edgelm.server.audit import Actor
from edgelm.server.clock import SECOND
from edgelm.server.keys import digest, new_key
from edgelm.server.refusals import Conflict, Forbidden, NotThere, Refused
from edgelm.server.tables import Invitation, Member, Slot, Submission, Team, Upload, User

_VALID = 14 * 24 * 3600 * SECOND  # of an invitation


def create(
    session: Session, actor: Actor, name: str, tracks: Sequence[str], rules: Rules, now: int, *, student: bool = False
) -> Team:
    """Register a team, whose captain is who asks.

    Args:
        session: a writing one.
        actor: a participant.
        name: as on the board.
        tracks: that it takes part in.
        rules: which say what tracks there are.
        now: microseconds.
        student: whether the captain is one; by asking they say, too, that they are in no other team.

    Raises:
        Conflict: registration is not open, the name is taken, or they are in a team.
        Forbidden: they run the competition.
        Refused: no such track, or none.
    """
    phases.require_registration(session, now)
    user = _joining(session, actor)
    team = Team(name=name, key=key_of(name), tracks=_tracks(tracks, rules), created=now)
    if not team.key:
        raise Refused(f"'{name}' is no name", mend="give one with letters or digits")
    if session.scalars(select(Team).where(Team.key == team.key)).first():
        raise Conflict(f"a team is called '{name}', or much like it", mend="choose another name")
    team.members.append(Member(user=user, captain=True, student=student, joined=now))
    session.add(team)
    session.flush()
    after = {"name": name, "tracks": team.tracks, "captain": user.id, "student": student}
    audit.record(session, actor, "team.create", team.id, now, after=after)
    return team


def key_of(name: str) -> str:
    """What names have in common that look alike: case, width, accents put together, spaces and signs do not count."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(character for character in folded if character.isalnum())


def find(session: Session, team_id: str) -> Team:
    """A team.

    Raises:
        NotThere: there is none of that id.
    """
    team = session.get(Team, team_id)
    if team is None:
        raise NotThere("there is no such team", mend="see your own")
    return team


def everyone(session: Session) -> list[Team]:
    """All teams, in the order in which they registered."""
    return list(session.scalars(select(Team).order_by(Team.created, Team.id)))


def led(session: Session, actor: Actor, team_id: str) -> Team:
    """The team, if its captain asks.

    Raises:
        NotThere: they are not in it.
        Forbidden: they are a member.
    """
    team, member = _own(session, actor, team_id)
    if not member.captain:
        raise Forbidden("only the captain may do this", mend="ask the captain")
    return team


def set_tracks(session: Session, actor: Actor, team_id: str, tracks: Sequence[str], rules: Rules, now: int) -> Team:
    """Register for other tracks.

    Raises:
        Conflict: registration is not open, or a package was handed in for a track that is left.
        Forbidden: they are not the captain.
        Refused: no such track, or none.
    """
    phases.require_registration(session, now)
    team = led(session, actor, team_id)
    wanted = _tracks(tracks, rules)
    for track in set(team.tracks) - set(wanted):
        if session.scalars(
            select(Submission).where(Submission.team_id == team.id, Submission.track == track).limit(1)
        ).first():
            raise Conflict(f"packages were handed in for {track}", mend="withdraw them instead")
    before, team.tracks = team.tracks, wanted
    audit.record(session, actor, "team.tracks", team.id, now, before=before, after=wanted)
    notices.tell(session, _users(team), f"{team.name} takes part in {', '.join(wanted)}", "", now)
    return team


# Members


def invite(
    session: Session, actor: Actor, team_id: str, email: str, rules: Rules, now: int, url: str
) -> tuple[Invitation, str]:
    """Invite someone: what is kept of the invitation, and the secret of its link, shown once and sent by mail.

    Args:
        session: a writing one.
        actor: the captain.
        team_id: of which team.
        email: case-folded; the account that accepts must have it.
        rules: which say how many members a team may have.
        now: microseconds.
        url: of the server, for the mail.

    Raises:
        Forbidden: they are not the captain.
        Conflict: with all who are invited there would be too many.
    """
    team = led(session, actor, team_id)
    session.execute(delete(Invitation).where(
        Invitation.team_id == team.id, (Invitation.email == email) | (Invitation.expires <= now)
    ))  # fmt: skip
    if any(member.user.email == email for member in team.members):
        raise Conflict(f"{email} is in the team", mend="nothing is to be done")
    if len(team.members) + len(invitations(session, team.id)) >= rules.members:
        mend = "take back an invitation, or remove a member"
        raise Conflict(f"a team has at most {rules.members} members", why="those invited count", mend=mend)
    secret = new_key()
    found = Invitation(sha256=digest(secret), team_id=team.id, email=email, created=now, expires=now + _VALID)
    session.add(found)
    audit.record(session, actor, "team.invite", team.id, now, after=email)
    subject = f"You are invited to the team {team.name}"
    body = "Log in or register with this address, then open this link."
    link = f"{url}/join?team={team.id}&secret={secret}"
    notices.tell_address(session, email, subject, body, now, link, found.sha256)
    return found, secret


def invitations(session: Session, team_id: str) -> list[Invitation]:
    """The invitations of a team that nobody has accepted."""
    return list(session.scalars(select(Invitation).where(Invitation.team_id == team_id).order_by(Invitation.created)))


def take_back(session: Session, actor: Actor, team_id: str, sha256: str, now: int) -> None:
    """Take an invitation back, and its mail if that was not sent yet.

    Raises:
        Forbidden: they are not the captain.
        NotThere: there is no such invitation.
    """
    team = led(session, actor, team_id)
    found = session.get(Invitation, sha256)
    if found is None or found.team_id != team.id:
        raise NotThere("there is no such invitation", mend="see those of the team")
    session.delete(found)
    notices.take_back(session, found.sha256)
    audit.record(session, actor, "team.invite.take-back", team.id, now, before=found.email)


def accept(
    session: Session, actor: Actor, team_id: str, secret: str, rules: Rules, now: int, *, student: bool = False
) -> Team:
    """Join a team by an invitation; by accepting one says that one is in no other.

    Raises:
        NotThere: the invitation is none, was used, has run out, or is for another address.
        Conflict: they are in a team, or it is full.
        Forbidden: they run the competition.
    """
    user = _joining(session, actor)
    found = session.get(Invitation, digest(secret))
    if found is None or (found.team_id, found.email) != (team_id, user.email) or found.expires <= now:
        why = f"it was used, taken back, has run out, or is not for {user.email}"
        raise NotThere("there is no such invitation", why=why, mend="ask the captain for another")
    team = find(session, team_id)
    if len(team.members) >= rules.members:
        raise Conflict(f"{team.name} has {len(team.members)} members already", mend="ask the captain")
    notices.tell(session, _users(team), f"{user.name} joined {team.name}", "", now)
    session.delete(found)
    team.members.append(Member(user=user, student=student, joined=now))
    audit.record(session, actor, "team.join", team.id, now, after={"user": user.id, "student": student})
    return team


def leave(session: Session, actor: Actor, team_id: str, now: int) -> None:
    """Leave one's team. The last to leave takes it away, unless it began to hand in.

    Raises:
        NotThere: it is not their team.
        Conflict: a captain with others in the team, or the last of one that began to hand in or was given a slot.
    """
    team, member = _own(session, actor, team_id)
    if len(team.members) > 1 and member.captain:
        raise Conflict("a captain does not leave the others", mend="make another member captain first")
    if len(team.members) == 1:
        for table in (Submission, Upload, Slot):
            if session.scalars(select(table).where(table.team_id == team.id).limit(1)).first():
                raise Conflict(f"{team.name} began to hand in", mend="invite somebody to be captain, or withdraw")
    _drop(session, actor, team, member, "team.leave", "", now)
    if not team.members:
        session.delete(team)
        audit.record(session, actor, "team.dissolve", team.id, now, before=team.name)


def remove(session: Session, actor: Actor, team_id: str, user_id: str, reason: str, now: int) -> None:
    """Remove another member: a captain may, and who organises.

    Raises:
        Forbidden: they may not.
        NotThere: there is no such member.
        Conflict: it is the captain, who cannot be left out.
    """
    team = find(session, team_id) if _organises(actor) else led(session, actor, team_id)
    member = _member(team, user_id)
    if member.captain:
        raise Conflict("a team has a captain", mend="make another member captain first")
    _drop(session, actor, team, member, "team.remove", reason, now)


def make_captain(session: Session, actor: Actor, team_id: str, user_id: str, now: int) -> Team:
    """Hand the captain's part to another member: the captain may, and who organises.

    Raises:
        Forbidden: they may not.
        NotThere: there is no such member.
    """
    team = find(session, team_id) if _organises(actor) else led(session, actor, team_id)
    chosen = _member(team, user_id)
    before = next(member.user_id for member in team.members if member.captain)
    for member in team.members:
        member.captain = member is chosen
    audit.record(session, actor, "team.captain", team.id, now, before=before, after=chosen.user_id)
    notices.tell(session, _users(team), f"{chosen.user.name} is captain of {team.name}", "", now)
    return team


def _tracks(tracks: Sequence[str], rules: Rules) -> list[str]:
    known = [track.name for track in rules.tracks]
    unknown = sorted(set(tracks) - set(known))
    if unknown or not tracks:
        raise Refused(f"no track '{unknown[0]}'" if unknown else "no track", mend=f"choose of {', '.join(known)}")
    return [name for name in known if name in tracks]


def _joining(session: Session, actor: Actor) -> User:
    user = session.get(User, actor.id)
    if user is None or user.role != "participant":
        raise Forbidden("who runs the competition is in no team", mend="take part from an account of its own")
    if session.get(Member, user.id):
        raise Conflict("you are in a team already", why="nobody is in two", mend="leave it first")
    return user


def _own(session: Session, actor: Actor, team_id: str) -> tuple[Team, Member]:
    member = session.get(Member, actor.id)
    if member is None or member.team_id != team_id:
        raise NotThere("there is no such team", mend="see your own")
    return find(session, team_id), member


def _member(team: Team, user_id: str) -> Member:
    for member in team.members:
        if member.user_id == user_id:
            return member
    raise NotThere("there is no such member", mend="see who is in the team")


def _organises(actor: Actor) -> bool:
    return actor.role in ("organiser", "admin")


def _users(team: Team) -> list[User]:
    return [member.user for member in team.members]


def _drop(session: Session, actor: Actor, team: Team, member: Member, action: str, reason: str, now: int) -> None:
    notices.tell(session, _users(team), f"{member.user.name} left {team.name}", reason, now)
    session.delete(member)
    session.flush()
    session.refresh(team, ["members"])
    audit.record(session, actor, action, team.id, now, before=member.user_id, reason=reason)
