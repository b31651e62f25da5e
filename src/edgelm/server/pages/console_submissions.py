"""All submissions, and what organisers do with one: have it run or marked anew, end it, put it out or back in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from edgelm.server import states
from edgelm.server.api import decisions, operations, submissions
from edgelm.server.api.submissions import Id
from edgelm.server.pages.frame.organising import Organising, Reviewing
from edgelm.server.pages.frame.visit import Visit

router = APIRouter(prefix="/console/submissions", include_in_schema=False)
_AT_ONCE = 50


@router.get("")
def listed(
    at: Reviewing, team: str = "", state: str = "", track: str = "",
    before: Annotated[int, Query(ge=0, lt=2**63)] = 2**63 - 1,
) -> Response:  # fmt: skip
    """Those of all teams that fit, the latest first."""
    found = submissions.listed(
        at.request, at.viewer, team or None, state or None, track or None, before=before, limit=_AT_ONCE
    ).submissions
    following = found[-1].received if len(found) == _AT_ONCE else None
    return at.page("console/submissions", submissions=found, states=list(states.NEXT), following=following)


@router.get("/{submission}")
def submission(submission: Id, at: Organising) -> Response:
    """One, with what was decided about it."""
    return _submission(at, submission)


@router.post("/{submission}/rerun")
def rerun(submission: Id, at: Organising) -> Response:
    """Evaluate it anew."""
    return _do(at, submission, operations.rerun, "rerun")


@router.post("/{submission}/rescore")
def rescore(submission: Id, at: Organising) -> Response:
    """Mark its answers anew."""
    return _do(at, submission, operations.rescore, "rescored")


@router.post("/{submission}/cancel")
def cancel(submission: Id, at: Organising) -> Response:
    """End it; its slot is free again."""
    return _do(at, submission, operations.cancel, "cancelled")


def _do(at: Visit, submission: str, call: Any, said: str) -> Response:
    return at.take(
        lambda _: call(submission, at.read(operations.Why), at.call), lambda again: _submission(again, submission),
        f"/console/submissions/{submission}", said,
    )  # fmt: skip


def _submission(at: Visit, submission: str) -> Response:
    one = submissions.show(submission, at.request, at.viewer)
    named = {submission, *(each.decision for each in one.out)}  # what puts it out may have been found in another
    return at.page(
        "console/submission", one=one,
        decisions=[each for each in decisions.listed(at.server, at.viewer)
                   if named & {each.id, each.body.get("submission")}],
    )  # fmt: skip
