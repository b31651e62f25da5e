"""A track's board, its history, and what a submission reached."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Annotated

from fastapi import APIRouter, Query, Response
from markupsafe import Markup

from edgelm.score.entries import THROUGHPUT, mean_score
from edgelm.score.plots import Better, Kind, Point
from edgelm.score.text import GIB, MIB
from edgelm.server.api import audit, boards, stage2, submissions
from edgelm.server.api.boards import BoardView, Size
from edgelm.server.pages.frame.drawn import drawn
from edgelm.server.pages.frame.visit import Visit, Visiting
from edgelm.server.refusals import NotThere

router = APIRouter(include_in_schema=False)
_ALL = 2**31 - 1  # ranks
_MILLION = 10**6
Scores = dict[str, Fraction | None]  # in percent, by task; throughput in tokens a second
Row = tuple[str, Kind, Scores, Size]  # team, and how it is drawn


@router.get("/board/{track}")
def board(
    track: boards.TrackName, at: Visiting, revision: boards.Number = None, every: Annotated[bool, Query()] = False
) -> Response:
    """The board down to the rank that the rules say, or all of it; of now or of a revision."""
    return at.alike(("board", track, revision, every), lambda: _board(track, at, revision, every))


def _board(track: str, at: Visit, revision: int | None, every: bool) -> Response:
    published = {each.track: each.published for each in boards.all_boards(at.server)}
    if track not in published:
        raise NotThere("there is no such track", mend="see the first page")
    if published[track] is None:
        return at.page("no_board", track=track)
    shown = boards.board(track, at.server, revision, _ALL if every else None)
    assert isinstance(shown, BoardView)  # no CSV was asked for
    return at.page(
        "board", board=shown, plots=_plots(shown),
        sensitivity=boards.sensitivity(track, at.server, revision), history=boards.history(track, at.server),
        stage2=stage2.show(track, at.server), heads=audit.heads(at.server)[:1],
    )  # fmt: skip


@router.get("/result/{submission}")
def result(submission: submissions.Id, at: Visiting) -> Response:
    """What a submission reached, as far as the viewer may see it."""
    return at.page("result", result=boards.result(submission, at.server, at.viewer))


def _plots(board: BoardView) -> list[Markup]:
    """Mean score over throughput, peak memory and number of parameters, of what the board shows."""
    rows: list[Row] = [
        (line.team, "board", {task: each.score for task, each in line.tasks.items()}, line.size) for line in board.lines
    ]
    if board.baseline:
        rows.append(("baseline", "reference", board.baseline.tasks, board.baseline.size))
    largest = max((size.memory or 0 for *_, size in rows), default=0)
    unit, scale = ("GiB", GIB) if largest >= 2 * GIB else ("MiB", MIB)
    return [
        *_plot(rows, lambda scores, size: scores.get(THROUGHPUT),
               "Throughput, tokens/s (more is better →)", "more", "Mean score over throughput"),
        *_plot(rows, lambda scores, size: size.memory and Fraction(size.memory, scale),
               f"Peak memory, {unit} (← less is better)", "less", "Mean score over peak memory"),
        *_plot(rows, lambda scores, size: Fraction(size.parameters, _MILLION),
               "Parameters, millions (← less is better)", "less", "Mean score over parameters"),
    ]  # fmt: skip


def _plot(
    rows: list[Row], x: Callable[[Scores, Size], Fraction | int | None], x_label: str, better: Better, title: str
) -> list[Markup]:
    """The plot of those rows that have both figures; none where none has."""
    points = []
    for team, kind, scores, size in rows:
        across, mean = x(scores, size), mean_score(scores)
        if across is not None and mean is not None:
            points.append(Point(float(across), float(mean), team, kind))
    return [drawn(tuple(points), x_label, better, title)] if points else []
