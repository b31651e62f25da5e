"""Stage 2 of a track: who is examined, what was found, and what follows."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import ValidationError

from edgelm.score.entries import scored_tasks
from edgelm.score.stage2 import MOVES
from edgelm.server.api import boards, stage2
from edgelm.server.pages.frame.forms import NotFilledIn
from edgelm.server.pages.frame.organising import Organising
from edgelm.server.pages.frame.visit import Visit
from edgelm.server.refusals import NotThere
from edgelm.server.stage2 import Event

router = APIRouter(prefix="/console/stage2", include_in_schema=False)
_BY_SLOT = ("checkpoints", "peaks")


class Moving(stage2.Begin):
    """What has come of a team."""

    event: Event


@router.get("")
def tracks(at: Organising) -> Response:
    """How far each track has come."""
    known = boards.all_boards(at.server)
    return at.page("console/tracks", tracks=[(each, stage2.show(each.track, at.server)) for each in known])


@router.get("/{track}")
def show(track: boards.TrackName, at: Organising) -> Response:
    """All candidates, in the frozen order."""
    return _show(at, track)


@router.post("/{track}/begin")
def begin(track: boards.TrackName, at: Organising) -> Response:
    """Begin, from the final board."""
    return at.take(
        lambda _: stage2.begin(at.read(stage2.Begin), at.call), lambda again: _show(again, track),
        f"/console/stage2/{track}", "stage-2",
    )  # fmt: skip


@router.post("/{track}/draw")
def draw(track: boards.TrackName, at: Organising) -> Response:
    """Draw one more finalist."""
    return at.take(
        lambda _: stage2.draw(at.read(stage2.Draw), at.call), lambda again: _show(again, track),
        f"/console/stage2/{track}", "drawn",
    )  # fmt: skip


@router.get("/{track}/{team}")
def candidate(track: boards.TrackName, team: str, at: Organising) -> Response:
    """One team's examination."""
    return _candidate(at, track, team)


@router.post("/{track}/{team}/move")
def move(track: boards.TrackName, team: str, at: Organising) -> Response:
    """Say what has come of it."""

    def work(_: Response) -> None:
        typed = at.read(Moving)
        stage2.move(team, typed.event, stage2.Begin(track=typed.track, reason=typed.reason), at.call)

    return at.take(work, lambda again: _candidate(again, track, team), f"/console/stage2/{track}/{team}", "moved")


@router.post("/{track}/{team}/figures")
def enter(track: boards.TrackName, team: str, at: Organising) -> Response:
    """Enter what was found."""
    return at.take(
        lambda _: stage2.enter(team, _entered(at, track), at.server, at.viewer),
        lambda again: _candidate(again, track, team), f"/console/stage2/{track}/{team}", "entered",
    )  # fmt: skip


def _entered(at: Visit, track: str) -> stage2.Entered:
    """Figures as typed; fields of a slot or task have it in their names: `checkpoints.SLOT`, `tasks.TASK.score`."""
    figures: dict[str, Any] = {name: at.value(name) or None for name in ("throughput", "self_agreement")}
    figures |= {"agreement": at.value("agreement"), "runs_on_phone": bool(at.value("runs_on_phone"))}
    for group in _BY_SLOT:
        typed = {slot: at.value(f"{group}.{slot}") for slot in at.server.rules.track(track).slots}
        figures[group] = {slot: value for slot, value in typed.items() if value}
    figures["tasks"] = {
        task: {"score": score, "spread": at.value(f"tasks.{task}.spread") or "0"}
        for task in scored_tasks(at.server.rules) if (score := at.value(f"tasks.{task}.score"))
    }  # fmt: skip
    try:
        return stage2.Entered.model_validate({"track": track, "figures": figures})
    except ValidationError as error:
        said = "This is no such figure."
        raise NotFilledIn({".".join(map(str, each["loc"][1:])): said for each in error.errors()}) from None


def _show(at: Visit, track: str) -> Response:
    return at.page(
        "console/stage2", track=track, state=_board(at, track).state, summary=stage2.show(track, at.server),
        candidates=stage2.listed(track, at.server, at.viewer),
    )  # fmt: skip


def _candidate(at: Visit, track: str, team: str) -> Response:
    _board(at, track)
    for each in stage2.listed(track, at.server, at.viewer):
        if each.team_id == team:
            return at.page(
                "console/candidate", track=track, each=each, moves=MOVES.get(each.state, ()),  # type: ignore[call-overload]
                slots=at.server.rules.track(track).slots, tasks=scored_tasks(at.server.rules),
            )  # fmt: skip
    raise NotThere("the team is no candidate of stage 2", mend="see the candidates")


def _board(at: Visit, track: str) -> boards.BoardState:
    for each in boards.all_boards(at.server):
        if each.track == track:
            return each
    raise NotThere("there is no such track", mend="see the first page")
