"""The console's first page: what needs somebody now."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgelm.server.api import appeals, boards, decisions, health, operations, reviews
from edgelm.server.api.admin import WorkerView
from edgelm.server.api.boards import BoardState
from edgelm.server.clock import SECOND
from edgelm.server.pages.frame.organising import Reviewing
from edgelm.server.pages.frame.visit import Visit

router = APIRouter(include_in_schema=False)


@router.get("/console")
def console(at: Reviewing) -> Response:
    """What needs an organiser, or a reviewer, now."""
    flagged = reviews.show(at.server, at.viewer)
    if not at.viewer.may("organiser"):
        return at.page("console/reviewer", flagged=flagged)
    queue = operations.show(at.server, at.viewer)
    return at.page(
        "console/overview", flagged=flagged, queue=queue, silent=[each for each in queue.workers if silent(at, each)],
        proposals=decisions.listed(at.server, at.viewer, undecided=True), boards=boards.all_boards(at.server),
        due=[each for each in boards.all_boards(at.server) if due(at, each)],
        appeals=appeals.all_appeals(at.request, at.viewer, undecided=True).appeals,
        health=health.show(at.server, at.viewer),
    )  # fmt: skip


def due(at: Visit, board: BoardState) -> bool:
    """Whether what comes next on a board is for organisers to do: nothing of it happens by itself, as freezing does."""
    heard = board.objections is not None and board.objections <= at.now
    return board.state == "frozen" or (board.state == "provisional" and heard)


def silent(at: Visit, worker: WorkerView) -> bool:
    """Whether a worker that should be at work has not been heard of for as long as it takes to lose a job."""
    heard = worker.created if worker.seen is None else worker.seen
    return not worker.disabled and at.now - heard > at.server.settings.lease_seconds * SECOND
