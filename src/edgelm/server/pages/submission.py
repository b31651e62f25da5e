"""A submission: what becomes of it as it happens, what was found, taking it back, objecting."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from edgelm.server.api import appeals, boards, competition, submissions
from edgelm.server.pages.frame.visit import Visit, Visiting
from edgelm.server.refusals import NotThere
from edgelm.server.results import ResultView

router = APIRouter(include_in_schema=False)
_LINES = 1000  # of the log that a page shows


@router.get("/submission/{submission}")
def submission(submission: submissions.Id, at: Visiting) -> Response:
    """A submission, as its team and those who run the competition see it."""
    return _submission(at, submission)


@router.get("/submission/{submission}/live")
def live(submission: submissions.Id, at: Visiting) -> Response:
    """The part of the page that changes while the evaluation runs."""
    return HTMLResponse(at.fragment("live", one=submissions.show(submission, at.request, at.viewer)))


@router.get("/submission/{submission}/log")
def log(submission: submissions.Id, at: Visiting, after: Annotated[int, Query(ge=0, lt=2**31)] = 0) -> Response:
    """The log, from a line on."""
    one = submissions.show(submission, at.request, at.viewer)
    return at.page("log", one=one, log=submissions.log(submission, at.request, at.viewer, after, _LINES), most=_LINES)


@router.post("/submission/{submission}/withdraw")
def withdraw(submission: submissions.Id, at: Visiting) -> Response:
    """Take it back."""
    return at.take(
        lambda _: submissions.withdraw(submission, at.call), lambda again: _submission(again, submission),
        f"/submission/{submission}", "withdrawn",
    )  # fmt: skip


@router.post("/submission/{submission}/appeal")
def appeal(submission: submissions.Id, at: Visiting) -> Response:
    """Object to how it ended."""
    return at.take(
        lambda _: appeals.appeal(submission, at.read(appeals.Objection), at.call),
        lambda again: _submission(again, submission), f"/submission/{submission}", "appealed",
    )  # fmt: skip


def _submission(at: Visit, submission: str) -> Response:
    one = submissions.show(submission, at.request, at.viewer)
    found = submissions.findings(submission, at.request, at.viewer)
    return at.page(
        "submission", one=one, result=_result(at, one), findings=found.findings, reason=found.reason,
        log=submissions.log(submission, at.request, at.viewer).lines,
        appeals=appeals.appeals_of(submission, at.request, at.viewer), own=one.team == at.viewer.team_id,
        closed=next(phase.closes for phase in competition.dates(at.server) if phase.name == one.phase) <= at.now,
    )  # fmt: skip


def _result(at: Visit, one: submissions.Live) -> ResultView | None:
    """What it reached; None if it has not, or the viewer may not see it yet."""
    if (one.state, one.kind) != ("scored", "scored"):
        return None
    try:
        return boards.result(one.id, at.server, at.viewer)
    except NotThere:
        return None
