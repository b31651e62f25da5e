"""Appeals: what teams object to, and what is decided."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgelm.server.api import appeals, submissions
from edgelm.server.pages.frame.organising import Organising
from edgelm.server.pages.frame.visit import Visit

router = APIRouter(prefix="/console/appeals", include_in_schema=False)


@router.get("")
def listed(at: Organising) -> Response:
    """All appeals, those that are open first."""
    return _listed(at)


@router.post("/{appeal}/decide")
def decide(appeal: submissions.Id, at: Organising) -> Response:
    """Grant an appeal or dismiss it."""
    return at.take(
        lambda _: appeals.decide(appeal, at.read(appeals.Decision), at.call), _listed,
        "/console/appeals", "appeal-decided",
    )  # fmt: skip


def _listed(at: Visit) -> Response:
    every = appeals.all_appeals(at.request, at.viewer).appeals
    about = {each.submission: submissions.show(each.submission, at.request, at.viewer) for each in every}
    last = {one: appeals.appeals_of(one, at.request, at.viewer).deadline for one in about}
    return at.page(
        "console/appeals", undecided=[each for each in every if not each.decision],
        decided=[each for each in reversed(every) if each.decision], about=about, last=last,
    )  # fmt: skip
