"""Decisions of organisers: what a revision would change, what one decides alone, what two decide together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.score.difference import Difference
from edgelm.score.disqualification import OfSubmission, OfTeam
from edgelm.server import board_decisions, boards, decisions, entries, offences, reviews
from edgelm.server.access import Viewer
from edgelm.server.board_decisions import Charge, Offence
from edgelm.server.calling import Asking, Calling, Served
from edgelm.server.fields import Body, Prose
from edgelm.server.idempotency import Call
from edgelm.server.state import Server
from edgelm.server.tables import Decision, Submission, User

router = APIRouter(prefix="/admin", tags=["decisions"])

Short = Annotated[str, Field(max_length=100, pattern="^[^\0]*$")]


class Proposal(Body):
    """A decision of any kind: what it is about depends on the kind."""

    kind: Short
    body: dict[str, Any] = Field(max_length=20)
    reason: Prose


class Board(Body):
    """A board, and why it is changed."""

    track: Short
    reason: Prose


class Voiding(Board):
    """A task (or one hold-out) that does not count any more; or does again."""

    task: Short
    lift: bool = False


class Publishing(Board):
    """The state to publish a board in."""

    state: Literal["provisional", "final"]


class Disqualifying(Body):
    """Why a submission, or by the kind of offence its whole team, is out of competition."""

    offence: OfSubmission | OfTeam
    evidence: Prose
    reason: Prose


class Reinstating(Body):
    """Which offence is forgiven, and why."""

    offence: OfSubmission | OfTeam
    reason: Prose


class DecisionView(Body):
    """A decision: open while it is neither applied nor withdrawn. Times are microseconds of UTC."""

    id: str
    kind: str
    body: dict[str, Any]
    team: str | None  # name of the team whose submission it is about
    reason: str
    proposed_by: str  # ids of users, and their names
    proposer: str
    seconded_by: str | None
    seconder: str | None
    created: int
    applied: int | None
    withdrawn: int | None


class Concerned(Body):
    """A submission that an offence concerns."""

    id: str
    title: str
    track: str
    state: str


class ScopeView(Body):
    """Whom an offence concerns: one submission, or a whole team."""

    team: str
    whole_team: bool
    submissions: list[Concerned]  # on the board of the track, or on their way to it
    elsewhere: list[Concerned]  # of the team in other tracks, where they stay as they are


class Preview(Body):
    """What a decision would change. Where hold-outs would be shown for the first time, they are left out of it."""

    track: str | None  # whose board changes; None if no board does
    scope: ScopeView | None  # of what puts out or back in
    difference: Difference | None  # of that board


@router.get("/decisions")
def listed(server: Served, who: Asking, undecided: bool = False) -> list[DecisionView]:
    """Decisions, the latest first; or those that wait to be seconded."""
    who.require("organiser")
    with server.database.read() as session:
        return [view(session, each) for each in decisions.listed(session, undecided=undecided)]


@router.post("/decisions", status_code=201, response_model=DecisionView)
def propose(body: Proposal, at: Calling) -> JSONResponse:
    """Propose a decision of any kind; what one person may decide is done at once."""
    return _once(at, body.kind, body.body, body.reason)


@router.post("/decisions/{decision}/second", status_code=200, response_model=DecisionView)
def second(decision: Short, at: Calling) -> JSONResponse:
    """Agree to what another has proposed, after a fresh login: it is done."""
    at.viewer.require("reviewer")
    at.viewer.require_fresh()
    if before := at.answered():
        return before
    actor = at.viewer.actor
    entries.prepare(at.server)  # what is published has to be read, and nobody should wait for that
    apply = decisions.ahead(at.server, actor, decision)

    def work(session: Session) -> DecisionView:
        return view(session, decisions.second(session, at.server, actor, decision, at.now, apply))

    return at.once(work, 200)


@router.post("/decisions/{decision}/withdraw", status_code=200, response_model=DecisionView)
def withdraw(decision: Short, at: Calling) -> JSONResponse:
    """Take a proposal off the table."""
    at.viewer.require("organiser")
    return at.once(lambda session: view(session, decisions.withdraw(session, at.viewer.actor, decision, at.now)), 200)


@router.post("/revisions/preview", status_code=200)
def preview(body: Proposal, server: Served, who: Asking) -> Preview:
    """What a decision about a board, or on a flag, would change if it were taken now. Nothing is done."""
    who.require("reviewer")
    who.require(decisions.kind_of(body.kind).role)
    return previewed(server, body.kind, body.body, body.reason)


@router.post("/revisions", status_code=201, response_model=DecisionView)
def rescore(body: Board, at: Calling) -> JSONResponse:
    """Propose the next revision of a provisional board, of entries as they are now."""
    return _once(at, "rescore", {"track": body.track}, body.reason)


@router.post("/void", status_code=201, response_model=DecisionView)
def void(body: Voiding, at: Calling) -> JSONResponse:
    """Void a task, or lift that: the next revision is published at once."""
    return _once(at, "lift" if body.lift else "void", {"track": body.track, "task": body.task}, body.reason)


@router.post("/freeze", status_code=201, response_model=DecisionView)
def freeze(body: Board, at: Calling) -> JSONResponse:
    """Propose to freeze a board before its phase closes."""
    return _once(at, "freeze", {"track": body.track}, body.reason)


@router.post("/publish", status_code=201, response_model=DecisionView)
def publish(body: Publishing, at: Calling) -> JSONResponse:
    """Propose to publish a board: provisional, with the hold-outs; then final."""
    return _once(at, "publish", {"track": body.track, "state": body.state}, body.reason)


@router.post("/submissions/{submission}/disqualify", status_code=201, response_model=DecisionView)
def disqualify(submission: Short, body: Disqualifying, at: Calling) -> JSONResponse:
    """Propose to put a submission, or its whole team, out of competition."""
    about = {"submission": submission, "offence": body.offence, "evidence": body.evidence}
    return _once(at, "disqualify", about, body.reason)


@router.post("/submissions/{submission}/reinstate", status_code=201, response_model=DecisionView)
def reinstate(submission: Short, body: Reinstating, at: Calling) -> JSONResponse:
    """Propose to take a disqualification back."""
    return _once(at, "reinstate", {"submission": submission, "offence": body.offence}, body.reason)


def view(session: Session, made: Decision) -> DecisionView:
    """A decision as organisers see it."""
    seconder = session.get(User, made.seconded_by) if made.seconded_by else None
    concerned = session.get(Submission, made.body.get("submission", ""))
    return DecisionView(
        id=made.id, kind=made.kind, body=made.body, team=concerned.team.name if concerned else None,
        reason=made.reason, proposed_by=made.proposed_by,
        proposer=session.get_one(User, made.proposed_by).name, seconded_by=made.seconded_by,
        seconder=seconder.name if seconder else None, created=made.created, applied=made.applied,
        withdrawn=made.withdrawn,
    )  # fmt: skip


def previewed(server: Server, kind: str, body: dict[str, Any], reason: str) -> Preview:
    """What a decision about a board, or on a flag, would change."""
    entries.prepare(server)
    about = decisions.parsed(kind, body)
    with server.database.read() as session:
        if isinstance(about, Charge) and kind == reviews.CONFIRM:
            found = reviews.planned(session, server, about, reason)
        else:
            found = board_decisions.planned(session, server, kind, about, reason)
        return Preview(
            track=found.track if found else None,
            scope=_scope(session, about) if isinstance(about, Offence) else None,
            difference=boards.preview(session, server, found.track, found.board, found.received) if found else None,
        )


def decide(
    session: Session, server: Server, who: Viewer, kind: str, body: dict[str, Any], reason: str, now: int
) -> Decision:
    """Do what one person may decide; propose the rest, if it could be done now.

    Raises:
        NotLoggedIn, Forbidden: who asks may not; what needs two people needs a fresh login of both.
        Refused, Conflict, Unsupported: it cannot be done.
    """
    who.require(decisions.kind_of(kind).role)
    if decisions.kind_of(kind).people == 1:
        return decisions.alone(session, server, who.actor, kind, body, reason, now)
    who.require_fresh()
    if kind in board_decisions.KINDS:
        board_decisions.planned(session, server, kind, decisions.parsed(kind, body), reason)
    return decisions.propose(session, who.actor, kind, body, reason, now)


def _scope(session: Session, about: Offence) -> ScopeView:
    found = offences.scope(session, session.get_one(Submission, about.submission), about.offence)
    return ScopeView(
        team=found.team, whole_team=found.whole_team, submissions=[_concerned(each) for each in found.submissions],
        elsewhere=[_concerned(each) for each in found.elsewhere],
    )  # fmt: skip


def _concerned(one: Submission) -> Concerned:
    return Concerned(id=one.id, title=one.title, track=one.track, state=one.state)


def _once(at: Call, kind: str, body: dict[str, Any], reason: str) -> JSONResponse:
    who = at.viewer
    who.require("reviewer")
    entries.prepare(at.server)
    return at.once(lambda session: view(session, decide(session, at.server, who, kind, body, reason, at.now)))
