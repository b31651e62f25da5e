"""What keeps a board from being published: something under way, in doubt, in dispute, or before its time."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from edgelm.rules.base import HOLDOUT, Rules
from edgelm.rules.phases import shown
from edgelm.score.board import Board
from edgelm.score.entries import ranked_tasks
from edgelm.server import appeals, entries
from edgelm.server.clock import moment
from edgelm.server.entries import Gathered
from edgelm.server.phases import rows
from edgelm.server.queue import LEASED, WAITING
from edgelm.server.records import SCORED
from edgelm.server.refusals import Conflict
from edgelm.server.state import Server
from edgelm.server.tables import Appeal, Job, Phase, Submission


class Check(NamedTuple):
    """Submissions that are not settled: what is the matter with them, and the mend."""

    what: str
    found: Select[str]  # their ids
    mend: str


ENDED = Check(
    "submissions are under way",
    select(Submission.id).join(Job, Job.submission_id == Submission.id).where(Job.state.in_((WAITING, LEASED))),
    "wait for them, or cancel them",
)
CHECKS = (
    ENDED,
    Check(
        "appeals are open",
        select(Submission.id).join(Appeal, Appeal.submission_id == Submission.id).where(Appeal.decision == ""),
        "decide them",
    ),
    Check("reviews are open", select(Submission.id).where(Submission.review == "open"), "have them decided"),
)


def require(session: Session, server: Server, track: str, *checks: Check) -> None:
    """Let through when the scored phase's submissions are settled, as far as it is checked, and all results read.

    Raises:
        Conflict: some are not; they are named.
    """
    of_track = select(Submission.id).join(Phase, Phase.name == Submission.phase)
    of_track = of_track.where(Submission.track == track, Phase.kind == SCORED)
    for what, found, mend in checks:
        if some := sorted(set(session.scalars(found.where(Submission.id.in_(of_track))))):
            raise Conflict(f"{what}: {', '.join(some[:10])}", why="a board is published when all is settled", mend=mend)
    if entries.unread(session, server, track):
        raise Conflict("results are being read", mend="try again in a minute")


def require_time(session: Session, server: Server, track: str, state: str) -> None:
    """Let through a publication when its time has come.

    Raises:
        Conflict: it has not.
    """
    now = server.clock()
    if state == "provisional" and any(phase.kind == SCORED and now < phase.closes for phase in rows(session)):
        raise Conflict("a scored phase is still to close", mend="publish after its end")
    until = appeals.deadline(session, server.rules, track)
    if state == "final" and until is not None and now < until:
        raise Conflict("objections are still taken", why=f"until {shown(moment(until))}", mend="publish after that")


def require_holdouts(rules: Rules, board: Board, received: Gathered) -> None:
    """Let through entries that were asked hold-outs, where the rules rank any.

    Raises:
        Conflict: none was.
    """
    counts = HOLDOUT in ranked_tasks(rules, board.void)
    ranked = [task for task in rules.holdouts if counts and task not in board.void]
    scores = [model.scores for entry in received.entries for model in entry.models.values()]
    if ranked and scores and not any(task in own for own in scores for task in ranked):
        raise Conflict("no hold-out was asked", why=f"the rules rank {', '.join(ranked)}",
                       mend="have them asked, or void them")  # fmt: skip
