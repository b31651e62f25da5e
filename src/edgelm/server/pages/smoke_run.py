"""Smoke runs: what they are, how many are left, bringing a small package, and how the team's ended."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgelm.server import archived, phases
from edgelm.server.api import competition, smoke, submissions
from edgelm.server.pages.frame.bringing import brought
from edgelm.server.pages.frame.visit import Visit, Visiting

router = APIRouter(include_in_schema=False)


@router.get("/smoke-run")
def smoke_run(at: Visiting) -> Response:
    """What a smoke run is, and those of the team."""
    return _smoke_run(at)


@router.post("/smoke-run/archive")
def bring(at: Visiting) -> Response:
    """Bring a small package as one archive, without a script."""
    return brought(at, _smoke_run)


def _smoke_run(at: Visit) -> Response:
    _ = at.viewer.known
    if at.viewer.team_id is None:
        return at.go("/team", "team-first")
    of_kind = [phase for phase in competition.dates(at.server) if phase.kind == phases.SMOKE]
    runs = submissions.listed(at.request, at.viewer, at.viewer.team_id, kind=phases.SMOKE, limit=50)
    return at.page("smoke_run", offer=smoke.offer(at.server, at.viewer), runs=runs.submissions,
                   coming=next((phase for phase in of_kind if phase.opens > at.now), None),
                   most=archived.MOST_PACKED)  # fmt: skip
