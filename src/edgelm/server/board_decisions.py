"""Decisions about a board: each gives its next revision, or is refused. Rules R3.5, R7 and R9.

void, lift                 by one organiser
disqualify, reinstate      by two, in a revision of the same entries
rescore                    by two, of entries as they are now
freeze                     by two, before the scored phase closes; it happens by itself then
publish                    by two: the provisional board, of entries as they are now; then the final one
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.rules.base import Rules
from edgelm.score import board as decided
from edgelm.score.board import Board
from edgelm.score.disqualification import OF_SUBMISSION, Disqualification, OfSubmission, OfTeam
from edgelm.server import boards, bundles, decisions, entries, notices, settled
from edgelm.server.audit import Actor
from edgelm.server.boards import Draft
from edgelm.server.decisions import Apply, Kind, People
from edgelm.server.entries import Gathered
from edgelm.server.fields import Body, Prose
from edgelm.server.refusals import Conflict, NotThere, Refused
from edgelm.server.state import Server
from edgelm.server.tables import Decision, Submission

Name = Annotated[str, Field(max_length=100, pattern="^[^\0]*$")]
UNSIGNED = ("who proposes", "who seconds")  # of a decision that is tried before it is taken


class Track(Body):
    """A board: to freeze it, or to score it again."""

    track: Name


class Task(Track):
    """A task (or one hold-out) of a board: to void it, or to lift that."""

    task: Name


class Publication(Track):
    """The state that a board is published in."""

    state: Literal["provisional", "final"]


class Offence(Body):
    """Why a submission is out, or back in: of a submission, or, by the reason's kind, of its whole team."""

    submission: Name
    offence: OfSubmission | OfTeam


class Charge(Offence):
    """An offence, and what shows it."""

    evidence: Prose


class Planned(NamedTuple):
    """The next revision of a board that a decision leads to, and which team it concerns."""

    track: str
    board: Board
    received: Gathered
    team: str | None  # id; all teams if None


def planned(
    session: Session, server: Server, kind: str, body: Body, reason: str, signed: tuple[str, ...] = UNSIGNED
) -> Planned:
    """What a decision leads to, or why it cannot be done.

    Args:
        session: a reading one will do.
        server: whose board.
        kind: one of `KINDS`.
        body: what it is about, of the kind's type.
        reason: as published.
        signed: the names of who decides.

    Raises:
        Refused, NotThere, Conflict, Unsupported, UnknownName, BadOption: it cannot be done.
    """
    if isinstance(body, Offence):
        concerned = session.get(Submission, body.submission)
        if concerned is None:
            raise NotThere(f"there is no submission {body.submission}")
        track, team = concerned.track, concerned.team_id
    elif isinstance(body, Track):
        server.rules.track(body.track)
        concerned, track, team = None, body.track, None
    else:
        raise Refused(f"a decision to {kind} is not about a board")
    before = boards.board_of(server.storage, boards.latest(session, track))
    received = boards.held(session, server, track)
    if kind == "rescore":
        after = decided.rescore(before, reason)
        settled.require(session, server, track, settled.ENDED)
    elif isinstance(body, Publication):
        after = decided.advance(before, body.state, signed if body.state == "final" else ())
        settled.require(session, server, track, *settled.CHECKS)
        settled.require_time(session, server, track, body.state)
    else:
        after = _decided(before, server.rules, kind, body, concerned, reason, signed)
    if kind == "rescore" or after.state == "provisional" != before.state:
        received = entries.gathered(session, server, track)
        settled.require_holdouts(server.rules, after, received)
    return Planned(track, after, received, team)


def _decided(
    before: Board,
    rules: Rules,
    kind: str,
    body: Body,
    concerned: Submission | None,
    reason: str,
    signed: tuple[str, ...],
) -> Board:
    """The board after what leaves its entries as they are."""
    if isinstance(body, Task):
        if kind == "void":
            return decided.void_task(before, rules, body.task, reason)
        return decided.lift(before, body.task, reason)
    if isinstance(body, Charge) and concerned:
        scope = concerned.id if body.offence in OF_SUBMISSION else ""
        return decided.disqualify(before, Disqualification(
            team=concerned.team.name, submission=scope, reason=body.offence, evidence=body.evidence, signatures=signed,
        ))  # fmt: skip
    if isinstance(body, Offence) and concerned:
        scope = concerned.id if body.offence in OF_SUBMISSION else ""
        for each in before.disqualified:
            if (each.team, each.submission, each.reason) == (concerned.team.name, scope, body.offence):
                return decided.reinstate(before, each, reason, signed)
        raise Conflict(f"nothing puts {concerned.id} out for '{body.offence}'", mend="name a standing decision")
    return decided.advance(before, "frozen")


def _ahead(server: Server, made: Decision, people: People) -> Apply:
    """Draft the revision that a decision leads to, with the bundle of a final board."""
    with server.database.read() as session:
        track, board, received, _ = _planned(session, server, made, people)
        basis = bundles.basis(session, server, received.entries) if board.state == "final" else None
    return partial(_apply, drafted=boards.draft(server, track, board, received, basis))


def _apply(
    session: Session, server: Server, made: Decision, people: People, now: int, drafted: Draft | None = None
) -> None:  # fmt: skip
    """Publish the revision that a decision leads to, as it was drafted or anew, and tell whom it concerns."""
    track, board, received, team = _planned(session, server, made, people)
    rests_on = board, received.digest, server.rules.digest
    if not drafted or rests_on != (drafted.board, drafted.received.digest, drafted.standings.rules_digest):
        if board.state == "final":
            raise Conflict(f"the board of {track} has changed while its bundle was made",
                           mend="look at what would be published now, and second it again")  # fmt: skip
        drafted = boards.draft(server, track, board, received)
    actor = Actor(people[-1].id, people[-1].role)
    boards.publish(session, server, actor, drafted, made.reason, now)
    notices.tell(session, notices.members(session, team), f"{track}, revision {board.revision}: {board.log[-1].what}",
                 made.reason, now, f"decision/{made.id}/done")  # fmt: skip


def _planned(session: Session, server: Server, made: Decision, people: People) -> Planned:
    body = decisions.parsed(made.kind, made.body)
    return planned(session, server, made.kind, body, made.reason, decisions.signatures(people))


KINDS = {
    "void": Kind(Task, _apply, people=1), "lift": Kind(Task, _apply, people=1),
    "disqualify": Kind(Charge, _apply, ahead=_ahead), "reinstate": Kind(Offence, _apply, ahead=_ahead),
    "rescore": Kind(Track, _apply, ahead=_ahead), "freeze": Kind(Track, _apply, ahead=_ahead),
    "publish": Kind(Publication, _apply, ahead=_ahead),
}  # fmt: skip
decisions.KINDS.update(KINDS)
