"""The queue: who works, what waits, runs and has failed; stop it, and change one job."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgelm.server.api import operations
from edgelm.server.pages.console import silent
from edgelm.server.pages.frame.organising import Organising
from edgelm.server.pages.frame.visit import Visit
from edgelm.server.refusals import NotThere

router = APIRouter(prefix="/console/queue", include_in_schema=False)
_QUEUE = "/console/queue"


@router.get("")
def queue(at: Organising) -> Response:
    """The queue as it is now."""
    return _queue(at)


@router.post("/pause")
def pause(at: Organising) -> Response:
    """Lease no job from now on."""
    return at.take(lambda _: operations.pause(at.read(operations.Why), at.call), _queue, _QUEUE, "paused")


@router.post("/resume")
def resume(at: Organising) -> Response:
    """Lease jobs again."""
    return at.take(lambda _: operations.resume(at.read(operations.Why), at.call), _queue, _QUEUE, "resumed")


@router.get("/{job}")
def job(job: str, at: Organising) -> Response:
    """One job, and what can be done with it."""
    return _job(at, job)


@router.post("/{job}/requeue")
def requeue(job: str, at: Organising) -> Response:
    """Have it tried again."""
    return at.take(
        lambda _: operations.requeue(job, at.read(operations.Why), at.call), lambda again: _job(again, job),
        f"{_QUEUE}/{job}", "requeued",
    )  # fmt: skip


@router.post("/{job}/priority")
def prioritise(job: str, at: Organising) -> Response:
    """Put it before others, or behind them."""
    return at.take(
        lambda _: operations.prioritise(job, at.read(operations.Priority), at.call), lambda again: _job(again, job),
        f"{_QUEUE}/{job}", "prioritised",
    )  # fmt: skip


def _queue(at: Visit) -> Response:
    shown = operations.show(at.server, at.viewer)
    return at.page("console/queue", queue=shown, silent=[each.name for each in shown.workers if silent(at, each)])


def _job(at: Visit, wanted: str) -> Response:
    shown = operations.show(at.server, at.viewer)
    for each in (*shown.waiting, *shown.leased, *shown.failed):
        if each.id == wanted:
            return at.page("console/job", job=each)
    raise NotThere("this job neither waits nor runs, nor has it failed", mend="see the queue, or its submission")
