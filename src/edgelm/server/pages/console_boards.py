"""Boards: their states, what a decision would change before it is proposed, and proposals that wait for a second."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Response
from pydantic import TypeAdapter, ValidationError

from edgelm.errors import InputError
from edgelm.score.states import takes_decisions
from edgelm.server import board_decisions
from edgelm.server import decisions as kinds
from edgelm.server.api import boards, decisions, operations, submissions
from edgelm.server.api.submissions import Id
from edgelm.server.pages.frame.deciding import effect
from edgelm.server.pages.frame.forms import Typed, read
from edgelm.server.pages.frame.organising import Organising
from edgelm.server.pages.frame.visit import Visit
from edgelm.server.refusals import NotThere

router = APIRouter(prefix="/console", include_in_schema=False)
_BOARDS = "/console/boards"
_LATEST = 30  # decisions
_ID: TypeAdapter[str] = TypeAdapter(Id)
# What leads a board on from each state; what else may be decided about it, see `takes_decisions`.
_NEXT = {"live": "freeze", "frozen": "publish?state=provisional", "provisional": "publish?state=final"}


@router.get("/boards")
def listed(at: Organising) -> Response:
    """The boards, and what was decided about them."""
    shown = boards.all_boards(at.server)
    made = decisions.listed(at.server, at.viewer)
    return at.page(
        "console/boards", boards=[(each, _NEXT.get(each.state, ""), takes_decisions(each.state)) for each in shown],
        proposals=[each for each in made if not each.applied and not each.withdrawn],
        decided=[each for each in made if each.applied or each.withdrawn][:_LATEST],
    )  # fmt: skip


@router.get("/boards/{track}/{kind}")
def change(track: boards.TrackName, kind: str, at: Organising) -> Response:
    """What a decision needs to be told."""
    return _change(at, track, kind)


@router.post("/boards/{track}/{kind}/preview")
def preview(track: boards.TrackName, kind: str, at: Organising) -> Response:
    """What it would change; nothing is done."""
    try:
        shown = decisions.preview(_proposal(at, track, kind), at.server, at.viewer)
    except InputError as error:
        return _change(at.refused(error), track, kind)
    return _change(at, track, kind, shown)


@router.post("/boards/{track}/{kind}")
def propose(track: boards.TrackName, kind: str, at: Organising) -> Response:
    """Propose it; what one person may decide is done at once."""
    alone = kind in board_decisions.KINDS and board_decisions.KINDS[kind].people == 1
    return at.take(
        lambda _: decisions.propose(_proposal(at, track, kind), at.call), lambda again: _change(again, track, kind),
        _BOARDS, "decided" if alone else "proposed",
    )  # fmt: skip


@router.get("/decisions/{decision}")
def decision(decision: Id, at: Organising) -> Response:
    """A decision, and while it is open, what it would change now."""
    return _decision(at, decision)


@router.post("/decisions/{decision}/second")
def second(decision: Id, at: Organising) -> Response:
    """Agree to what another has proposed."""
    return at.take(
        lambda _: decisions.second(decision, at.call), lambda again: _decision(again, decision),
        f"/console/decisions/{decision}", "seconded",
    )  # fmt: skip


@router.post("/decisions/{decision}/withdraw")
def withdraw(decision: Id, at: Organising) -> Response:
    """Take a proposal off the table."""
    return at.take(
        lambda _: decisions.withdraw(decision, at.call), lambda again: _decision(again, decision),
        f"/console/decisions/{decision}", "off-the-table",
    )  # fmt: skip


def _proposal(at: Visit, track: str, kind: str) -> decisions.Proposal:
    """What was typed as a proposal."""
    about = kinds.kind_of(kind).body
    typed = {name: [at.value(name)] for name in (*about.model_fields, "reason")} | {"track": [track]}
    body = read(about, typed).model_dump(mode="json")
    return decisions.Proposal(kind=kind, body=body, reason=read(operations.Why, typed).reason)


def _change(at: Visit, track: str, kind: str, shown: decisions.Preview | None = None) -> Response:
    """The page of a decision that is not proposed yet, with what it would change once that was asked for."""
    known = {each.track: each for each in boards.all_boards(at.server)}
    if track not in known or kind not in board_decisions.KINDS:
        raise NotThere("there is no such board or decision", mend="see the boards")
    here, decides = f"{_BOARDS}/{track}/{kind}", board_decisions.KINDS[kind]
    typed = at.typed or {name: [value] for name, value in at.request.query_params.items()}
    return at.page(
        "console/change", track=track, kind=kind, preview=shown, board=known[track], send=at.form(here),
        form=replace(at.form(f"{here}/preview"), typed=typed), fields=list(decides.body.model_fields),
        people=decides.people, void=_void(at, track) if known[track].published else [],
        standing=_standing(at, typed) if kind == "reinstate" else [],
    )  # fmt: skip


def _void(at: Visit, track: str) -> list[str]:
    """The tasks that do not count on a board."""
    shown = boards.board(track, at.server)
    assert isinstance(shown, boards.BoardView)  # no CSV was asked for
    return shown.void


def _standing(at: Visit, typed: Typed) -> list[str]:
    """The offences for which the submission that was typed is out."""
    wanted = (typed.get("submission") or [""])[0]
    try:
        one = submissions.show(_ID.validate_python(wanted), at.request, at.viewer)
    except (ValidationError, NotThere):  # which is said once a preview is asked for
        return []
    return list(dict.fromkeys(each.offence for each in one.out))


def _decision(at: Visit, wanted: str) -> Response:
    for each in decisions.listed(at.server, at.viewer):
        if each.id == wanted:
            preview, hindered = effect(at, each)
            return at.page("console/decision", decision=each, preview=preview, hindered=hindered)
    raise NotThere("there is no such decision", mend="see the boards")
