"""Smoke runs: a package is tried on tiny public data, with all that it says to its team. No slot, nothing counts.

They are offered while a phase of the kind `smoke` is open, and a team has so many of them in any 24 hours.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.server import handing_in, phases
from edgelm.server.audit import Actor
from edgelm.server.clock import DAY
from edgelm.server.handing_in import Package
from edgelm.server.refusals import Conflict
from edgelm.server.state import Server
from edgelm.server.tables import Phase, Submission, Upload


def hand_in(
    session: Session, server: Server, actor: Actor, upload: Upload, package: Package, received: int
) -> Submission:
    """Take a package for a smoke run.

    Raises:
        Conflict: no such phase is open (SUB-02), the team has had its runs of the day, or as `handing_in.hand_in`.
    """
    phase = phases.require(session, phases.SMOKE, received, "SUB-02")
    if not left(session, server, upload.team_id, received):
        most = server.settings.smoke_runs
        raise Conflict(f"the team has had {most} smoke runs in 24 hours", mend="try again later")
    return handing_in.hand_in(session, server.storage, server.rules, actor, upload, package, received, phase)


def left(session: Session, server: Server, team_id: str, now: int) -> int:
    """How many smoke runs a team may still ask for, after those of the last 24 hours."""
    of_team = select(func.count()).select_from(Submission).join(Phase, Phase.name == Submission.phase)
    of_team = of_team.where(Submission.team_id == team_id, Phase.kind == phases.SMOKE)
    lately = session.scalar(of_team.where(Submission.received > now - DAY)) or 0
    return max(0, server.settings.smoke_runs - lately)
