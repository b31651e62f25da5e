"""Handing a package in with a browser: bring its files, see what each way costs, confirm one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastapi import APIRouter, Response

from edgelm.errors import InputError
from edgelm.server import archived
from edgelm.server.api import competition, slots, smoke, stage2, submissions, teams, uploads
from edgelm.server.pages.frame.bringing import brought
from edgelm.server.pages.frame.visit import Visit, Visiting, answered
from edgelm.server.rulebook import named_by

router = APIRouter(include_in_schema=False)
_KINDS = ("scored", "preliminary")  # of phases that packages are handed in to, the one that goes first first


class Spent(NamedTuple):
    """What handing in costs: the phase that it belongs to now, and how much of it is left."""

    phase: competition.PhaseView
    free: list[int]  # numbers of slots
    attempts: int


class Shut(NamedTuple):
    """Why nothing can be handed in to a track now."""

    registered: bool  # whether the team takes part in it
    coming: competition.PhaseView | None  # the phase that opens next


@router.get("/submit")
def submit(at: Visiting) -> Response:
    """How to check a package, and where it is brought."""
    return _submit(at)


@router.post("/submit/archive")
def bring(at: Visiting) -> Response:
    """Bring a small package as one archive, without a script."""
    return brought(at, _submit)


@router.get("/submit/{upload}")
def confirm(upload: submissions.Id, at: Visiting) -> Response:
    """What an upload brought, and what each way of handing it in costs."""
    return _confirm(at, upload)


@router.post("/submit/{upload}/hand-in")
def hand_in(upload: submissions.Id, at: Visiting) -> Response:
    """Hand it in."""
    return _handed_in(at, upload, lambda: submissions.hand_in(submissions.HandIn(upload=upload), at.call))


@router.post("/submit/{upload}/smoke")
def run_smoke(upload: submissions.Id, at: Visiting) -> Response:
    """Have it tried in a smoke run."""
    return _handed_in(at, upload, lambda: smoke.run(submissions.HandIn(upload=upload), at.call), "smoke")


@router.post("/submit/{upload}/material")
def hand_in_material(upload: submissions.Id, at: Visiting) -> Response:
    """Hand it in as the code and data of a finalist of stage 2."""

    def call() -> Response:
        track = uploads.show(upload, at.request, at.viewer).track
        return stage2.hand_in(track, stage2.Material(upload=upload), at.call)

    return _handed_in(at, upload, call)


@router.post("/submit/{upload}/give-up")
def give_up(upload: submissions.Id, at: Visiting) -> Response:
    """Forget it."""
    return at.take(
        lambda _: uploads.give_up(upload, at.call), lambda again: _confirm(again, upload), "/submit", "given-up"
    )


def _handed_in(at: Visit, upload: str, call: Callable[[], Response], said: str = "handed-in") -> Response:
    """Hand an upload in by a call of the API: to the submission's page, or back with what was refused."""
    try:
        made = answered(call())
    except InputError as error:
        return _confirm(at.refused(error), upload)
    return at.go(f"/submission/{made['id']}", said)


def _submit(at: Visit) -> Response:
    _ = at.viewer.known
    if at.viewer.team_id is None:
        return at.go("/team", "team-first")
    spent = {track.name: _spent(at, track.name) for track in at.server.rules.tracks}
    shut = {name: _shut(at, name) for name, costs in spent.items() if costs is None}
    return at.page("submit", spent=spent, shut=shut, most=archived.MOST_PACKED, rules=named_by(at.server.rules),
                   underway=uploads.underway(at.request, at.viewer))  # fmt: skip


def _confirm(at: Visit, upload: str) -> Response:
    begun = uploads.show(upload, at.request, at.viewer)
    finalists = any(phase.open and phase.kind == "stage-2" for phase in competition.dates(at.server))
    return at.page("confirm", begun=begun, spent=_spent(at, begun.track), shut=_shut(at, begun.track),
                   finalists=finalists, tries=smoke.offer(at.server, at.viewer))  # fmt: skip


def _shut(at: Visit, track: str) -> Shut:
    tracks = teams.show(uploads.own_team(at.viewer), at.server, at.viewer).tracks
    phases = competition.dates(at.server)
    coming = next((phase for phase in phases if phase.kind in _KINDS and phase.opens > at.now), None)
    return Shut(track in tracks, coming)


def _spent(at: Visit, track: str) -> Spent | None:
    """What a package of a track would cost now; nothing can be handed in if None."""
    open_ = [phase for kind in _KINDS for phase in competition.dates(at.server) if phase.open and phase.kind == kind]
    ledgers = slots.ledgers(uploads.own_team(at.viewer), at.request, at.viewer).ledgers
    for ledger in ledgers:
        if open_ and (ledger.track, ledger.phase) == (track, open_[0].name):
            free = [slot.number for slot in ledger.slots if slot.use == "free"]
            return Spent(open_[0], free, ledger.attempts)
    return None
