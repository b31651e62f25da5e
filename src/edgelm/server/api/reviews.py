"""Reviews: flagged submissions with the evidence, groups of those that are alike, and what reviewers decide."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from edgelm.score.disqualification import OfSubmission, OfTeam
from edgelm.server import duplicates, reviews
from edgelm.server.api.decisions import DecisionView, view
from edgelm.server.board_decisions import Charge, Name
from edgelm.server.calling import Asking, Calling, Served
from edgelm.server.fields import Body, Prose
from edgelm.server.tables import Submission

router = APIRouter(prefix="/admin/reviews", tags=["reviews"])
_MOST = 500


class ReviewView(Body):
    """A submission that was flagged: with what, and what was proposed and decided."""

    submission: str
    title: str
    team: str
    team_id: str
    track: str
    phase: str
    state: str
    review: str
    flags: list[dict[str, Any]]  # findings, evidence included
    decisions: list[DecisionView]


class AlikeView(Body):
    """A submission that is like another."""

    id: str
    title: str
    team: str
    received: int  # microseconds of UTC


class GroupView(Body):
    """Submissions that are alike, in the order in which they were handed in."""

    submissions: list[AlikeView]
    teams: list[str]


class Why(Body):
    """Why the flags are no offence, as the team is told."""

    reason: Prose


class Confirming(Why):
    """Which offence the flags show, and by what; the reason is what the team is told."""

    offence: OfSubmission | OfTeam
    evidence: Prose


def listed(session: Session, state: str) -> list[ReviewView]:
    """The reviews in a state, as reviewers see them."""
    rows = reviews.listed(session, state, _MOST)
    decided = reviews.decided(session, rows)
    return [
        ReviewView(
            submission=one.id, title=one.title, team=one.team.name, team_id=one.team_id, track=one.track,
            phase=one.phase, state=one.state, review=one.review,
            flags=[flag.body for flag in reviews.flags(session, one)],
            decisions=[view(session, made) for made in decided[one.id]],
        )
        for one in rows
    ]  # fmt: skip


def groups(session: Session) -> list[GroupView]:
    """The groups of those that are alike, as reviewers see them."""
    found = []
    for group in duplicates.groups(session):
        rows = sorted((session.get_one(Submission, each) for each in group), key=lambda row: (row.received, row.id))
        alike = [AlikeView(id=row.id, title=row.title, team=row.team.name, received=row.received) for row in rows]
        found.append(GroupView(submissions=alike, teams=sorted({each.team for each in alike})))
    return found


@router.get("", response_model=list[ReviewView])
def show(server: Served, who: Asking, state: Literal["open", "cleared", "confirmed"] = "open") -> list[ReviewView]:
    """The reviews in a state, the oldest submission first."""
    who.require("reviewer")
    with server.database.read() as session:
        return listed(session, state)


@router.get("/duplicates", response_model=list[GroupView])
def alike(server: Served, who: Asking) -> list[GroupView]:
    """Groups of submissions of different teams with the same weights or nearly the same answers."""
    who.require("reviewer")
    with server.database.read() as session:
        return groups(session)


@router.post("/{submission}/clear", response_model=DecisionView)
def clear(submission: Name, body: Why, calling: Calling) -> Response:
    """Find that what was flagged is no offence."""
    calling.viewer.require("reviewer")
    return calling.once(
        lambda session: view(
            session,
            reviews.clear(session, calling.server, calling.viewer.actor, submission, body.reason, calling.now),
        ),
        200,
    )


@router.post("/{submission}/confirm", status_code=201, response_model=DecisionView)
def confirm(submission: Name, body: Confirming, calling: Calling) -> Response:
    """Propose that what was flagged is an offence. Another person seconds it: `POST /admin/decisions/ID/second`."""
    calling.viewer.require("reviewer")
    calling.viewer.require_fresh()

    def work(session: Session) -> DecisionView:
        charge = Charge(submission=submission, offence=body.offence, evidence=body.evidence)
        return view(session, reviews.propose(session, calling.viewer.actor, charge, body.reason, calling.now))

    return calling.once(work)
