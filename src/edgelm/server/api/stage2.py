"""Stage 2: its summary to all, its material from teams, its events from organisers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.score.stage2 import OPEN
from edgelm.server import phases, stage2
from edgelm.server.api.submissions import Id, Shown, shown, with_upload
from edgelm.server.calling import Asking, Calling, Served
from edgelm.server.fields import Body, Prose
from edgelm.server.handing_in import Package
from edgelm.server.reproduction import Condition, Figures
from edgelm.server.stage2 import Event
from edgelm.server.state import Server
from edgelm.server.tables import Examination, Submission, Upload

router = APIRouter(tags=["stage2"])
Short = Annotated[str, Field(max_length=100, pattern="^[^\0]*$")]


class FinalistView(Body):
    """A team that is or was examined; `drawn` if it was by lot."""

    rank: int
    team: str
    submission: str
    state: str
    drawn: bool


class AwardView(Body):
    """A place of a team whose result was reproduced."""

    place: int
    team: str


class Summary(Body):
    """Stage 2 as all see it; `over` when nobody is examined any more."""

    track: str
    begun: bool
    over: bool
    finalists: list[FinalistView]
    awards: list[AwardView]


class OwnView(Body):
    """What of a team is examined or was, as the team sees it. Times are microseconds of UTC."""

    track: str
    submission: str
    title: str
    state: str
    drawn: bool
    material: str | None  # a submission
    changed: int
    opens: int | None  # when material is taken: in the phase that is open or comes next; None if there is none
    closes: int | None


class CandidateView(FinalistView):
    """A candidate as organisers see it. Times are microseconds of UTC."""

    team_id: str
    due: bool
    material: str | None  # a submission
    conditions: list[Condition]  # of passing; none before figures are entered
    reason: str
    changed: int


class Begin(Body):
    """A track whose board is final."""

    track: Short
    reason: Prose


class Draw(Begin):
    """A seed that was public before anybody could know it, such as the numbers of a lottery of a day named before."""

    seed: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x20-\x7e]*$")]


class Entered(Body):
    """What was found when a result was reproduced."""

    track: Short
    figures: Figures


class Material(Body):
    """An upload whose files have all come."""

    upload: Id


def summary(session: Session, server: Server, track: str) -> Summary:
    """Stage 2 of a track as all see it.

    Raises:
        UnknownName: there is no such track.
    """
    server.rules.track(track)
    rows = stage2.candidates(session, track)
    return Summary(
        track=track, begun=bool(rows), over=bool(rows) and not any(row.state in OPEN for row in rows),
        finalists=[FinalistView.model_validate(_finalist(row)) for row in rows if row.state != "waiting"],
        awards=[AwardView(place=each.place, team=each.team) for each in stage2.awards(session, server, track)],
    )  # fmt: skip


def candidates(session: Session, server: Server, track: str) -> list[CandidateView]:
    """All candidates of a track as organisers see them."""
    server.rules.track(track)
    return [_candidate(session, server, row) for row in stage2.candidates(session, track)]


@router.get("/stage2/{track}", response_model=Summary)
def show(track: str, server: Served) -> Summary:
    """Who was invited, what came of it, and the awards."""
    with server.database.read() as session:
        return summary(session, server, track)


@router.get("/teams/{team}/stage2", response_model=list[OwnView])
def of_team(team: str, server: Served, who: Asking) -> list[OwnView]:
    """What of a team is examined or was, and when its material is taken."""
    who.require_sight(team)
    with server.database.read() as session:
        phase = phases.coming(session, "stage-2", server.clock())
        opens, closes = (phase.opens, phase.closes) if phase else (None, None)
        return [
            OwnView(track=row.track, submission=row.submission_id, state=row.state, drawn=row.drawn,
                    title=session.get_one(Submission, row.submission_id).title, material=row.material_id,
                    changed=row.changed, opens=opens, closes=closes)
            for row in stage2.of_team(session, team)
        ]  # fmt: skip


@router.post("/stage2/{track}/material", status_code=201, response_model=Shown)
def hand_in(track: str, body: Material, calling: Calling) -> Response:
    """Hand in code and data as a package, which was uploaded as any other."""
    server, actor = calling.server, calling.viewer.actor

    def enter(session: Session, upload: Upload, package: Package) -> Shown:
        return shown(session, server, stage2.hand_in(session, server, actor, track, upload, package, calling.now))

    return with_upload(calling, body.upload, enter, "stage-2")


@router.get("/admin/stage2/{track}", response_model=list[CandidateView])
def listed(track: str, server: Served, who: Asking) -> list[CandidateView]:
    """All candidates in the frozen order, with every condition of those that are reproduced."""
    who.require("organiser")
    with server.database.read() as session:
        return candidates(session, server, track)


@router.post("/admin/stage2", status_code=201, response_model=Summary)
def begin(body: Begin, calling: Calling) -> Response:
    """Begin stage 2 from the final board: whole rank groups are invited."""
    calling.viewer.require("organiser")
    server = calling.server

    def work(session: Session) -> Summary:
        stage2.begin(session, server, calling.viewer.actor, body.track, body.reason, calling.now)
        return summary(session, server, body.track)

    return calling.once(work)


@router.post("/admin/stage2/draw", status_code=201, response_model=CandidateView)
def draw(body: Draw, calling: Calling) -> Response:
    """Have one more finalist examined, drawn by a public seed."""
    calling.viewer.require("organiser")
    return calling.once(lambda session: _candidate(session, calling.server, stage2.draw(
        session, calling.server, calling.viewer.actor, body.track, body.seed, body.reason, calling.now
    )))  # fmt: skip


@router.put("/admin/stage2/{team}/figures", response_model=CandidateView)
def enter(team: str, body: Entered, server: Served, who: Asking) -> CandidateView:
    """Keep what was found when a team's result was reproduced; each condition of passing comes back."""
    who.require("organiser")
    with server.database.write() as session:
        stage2.enter(session, server, who.actor, body.track, team, body.figures, server.clock())
        return _candidate(session, server, stage2.candidate(session, body.track, team))


@router.post("/admin/stage2/{team}/{event}", response_model=CandidateView)
def move(team: str, event: Event, body: Begin, calling: Calling) -> Response:
    """Bring a team further; whose turn it is then is invited."""
    calling.viewer.require("organiser")
    return calling.once(lambda session: _candidate(session, calling.server, stage2.move(
        session, calling.server, calling.viewer.actor, body.track, team, event, body.reason, calling.now
    )), 200)  # fmt: skip


def _finalist(row: Examination) -> dict[str, object]:
    return {"rank": row.rank, "team": row.team.name, "submission": row.submission_id, "state": row.state,
            "drawn": row.drawn}  # fmt: skip


def _candidate(session: Session, server: Server, row: Examination) -> CandidateView:
    return CandidateView.model_validate(_finalist(row) | {
        "team_id": row.team_id, "due": row.due, "material": row.material_id, "reason": row.reason,
        "conditions": stage2.conditions(session, server, row), "changed": row.changed,
    })  # fmt: skip
