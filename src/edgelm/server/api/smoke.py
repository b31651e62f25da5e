"""Smoke runs: a package tried on tiny public data, seen as any submission is. Nothing of it counts."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from edgelm.server import phases, smoke
from edgelm.server.api.competition import PhaseView
from edgelm.server.api.submissions import HandIn, Shown, shown, with_upload
from edgelm.server.api.uploads import own_team
from edgelm.server.calling import Asking, Calling, Served
from edgelm.server.fields import Body
from edgelm.server.handing_in import Package
from edgelm.server.tables import Upload

router = APIRouter(tags=["smoke"])


class Offer(Body):
    """What smoke runs one's team may have."""

    phase: PhaseView | None  # in which they are offered now; they are not if None
    most: int  # in 24 hours
    left: int  # of these


@router.get("/smoke")
def offer(server: Served, who: Asking) -> Offer:
    """Whether smoke runs are offered now, and how many one's team may still have."""
    team, now = own_team(who), server.clock()
    with server.database.read() as session:
        phase = phases.open_phase(session, phases.SMOKE, now)
        return Offer(phase=PhaseView.of(phase, now) if phase else None, most=server.settings.smoke_runs,
                     left=smoke.left(session, server, team, now))  # fmt: skip


@router.post("/smoke", status_code=201, response_model=Shown)
def run(body: HandIn, calling: Calling) -> JSONResponse:
    """Have an uploaded package checked and tried, with a full log. It takes no slot and no attempt."""

    def enter(session: Session, upload: Upload, package: Package) -> Shown:
        return shown(session, calling.server, smoke.hand_in(
            session, calling.server, calling.viewer.actor, upload, package, calling.now
        ))  # fmt: skip

    return with_upload(calling, body.upload, enter, phases.SMOKE)
