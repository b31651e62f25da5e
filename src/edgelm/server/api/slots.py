"""Slots: what a team has used and may still use, and one more by the organisers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.server import phases, slots
from edgelm.server.access import Viewer, viewer
from edgelm.server.app import server_of
from edgelm.server.fields import Body, Prose
from edgelm.server.idempotency import Call, call
from edgelm.server.refusals import NotThere
from edgelm.server.tables import Phase, Submission, Team

router = APIRouter(tags=["slots"])
Short = Annotated[str, Field(max_length=100, pattern="^[^\0]*$")]


class SlotShown(Body):
    """A slot, and what holds it."""

    number: int
    use: str  # free, reserved, spent
    submission: str | None
    state: str | None  # of the submission


class Ledger(Body):
    """A team's slots in one track and phase."""

    track: str
    phase: str
    slots: list[SlotShown]
    attempts: int  # packages that may still be handed in


class Ledgers(Body):
    """All slots of a team, by phase and track."""

    ledgers: list[Ledger]


class Grant(Body):
    """A slot more for a team, and why."""

    team: Short
    track: Short
    phase: Short
    reason: Prose


@router.get("/teams/{team}/slots")
def ledgers(team: str, request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Ledgers:
    """The slots of a team in the tracks that it is registered for, and the attempts that are left."""
    who.require_sight(team)
    server = server_of(request)
    with server.database.read() as session:
        found = session.get(Team, team)
        if found is None:
            raise NotThere(f"there is no team {team}")
        return Ledgers(ledgers=[
            Ledger(track=track, phase=phase.name, slots=_shown(session, team, track, phase, server.rules.submissions),
                   attempts=slots.attempts_left(session, server.rules, team, track, phase.name))
            for phase in phases.rows(session) if phase.kind in ("preliminary", "scored") for track in found.tracks
        ])  # fmt: skip


@router.post("/admin/slots/grant", status_code=201, response_model=SlotShown)
def grant(body: Grant, at: Annotated[Call, Depends(call)]) -> JSONResponse:
    """Give a team one slot more, as an organiser."""
    at.viewer.require("organiser")
    at.server.rules.track(body.track)

    def work(session: Session) -> SlotShown:
        if session.get(Team, body.team) is None:
            raise NotThere(f"there is no team {body.team}")
        phase = session.get(Phase, body.phase)
        if phase is None or phase.kind != "scored":
            raise NotThere(f"there is no scored phase '{body.phase}'", mend="see the dates")
        number = slots.grant(session, at.viewer.actor, at.server.rules, body.team, body.track, body.phase, body.reason,
                             at.now)  # fmt: skip
        return SlotShown(number=number, use="free", submission=None, state=None)

    return at.once(work)


def _shown(session: Session, team: str, track: str, phase: Phase, allowed: int) -> list[SlotShown]:
    """The slots of a phase; those that the rules give, before the first was taken."""
    if phase.kind != "scored":
        return []
    rows = slots.slots(session, team, track, phase.name)
    if not rows:
        return [SlotShown(number=number, use="free", submission=None, state=None) for number in range(1, allowed + 1)]
    states = dict(session.execute(select(Submission.id, Submission.state).filter_by(team_id=team, track=track)).all())
    return [SlotShown(number=row.number, use=row.use, submission=row.submission_id,
                      state=states.get(row.submission_id or "")) for row in rows]  # fmt: skip
