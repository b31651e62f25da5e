"""Rank submissions: points by the rules, standings of each track, and the leaderboard page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Json, Out, emit_json, emit_table, note
from edgelm.errors import BadOption
from edgelm.plugins import parse
from edgelm.report import Report
from edgelm.rules.base import HOLDOUT
from edgelm.score.publish import publish
from edgelm.score.standings import Standings
from edgelm.score.text import significant, two


def score(
    submissions: Annotated[list[Path], typer.Argument(help="Submission folders or zips.")],
    out: Out,
    rules: Annotated[str, typer.Option(help="Rule set: see `edgelm ls rules`.")] = "neurips-2024",
    reference: Annotated[
        list[str] | None, typer.Option(help="SLOT=REPORT of an uncompressed base, shown beside the teams; repeatable.")
    ] = None,
    holdout: Annotated[
        list[Path] | None, typer.Option(help="Your own report of a submitted checkpoint on the hold-out; repeatable.")
    ] = None,
    page: Annotated[bool, typer.Option(help="Render the HTML page.")] = True,
    json: Json = False,
) -> None:
    """Rank submissions: points by the rules, standings of each track, and the leaderboard page."""
    ruled = parse("rules", rules)
    if holdout and HOLDOUT not in ruled.tasks:
        note(f"--holdout changes nothing: the rules {ruled.name} rank no hold-out")
    boards = publish(
        ruled, submissions, out,
        reference=_references(reference or []), holdouts=[Report.load(path) for path in holdout or []], page=page,
    )  # fmt: skip
    if json:
        emit_json([standing.model_dump(mode="json") for standing in boards])
        return
    for standing in boards:
        show_board(standing)
        if page:
            note(f"page: {out / standing.track / 'index.html'}")


def _references(given: list[str]) -> dict[str, Report]:
    """Reports by slot; several of one slot are joined."""
    found: dict[str, Report] = {}
    for text in given:
        slot, equals, folder = text.partition("=")
        if not equals:
            raise BadOption(f"--reference {text} names no slot", mend="write --reference SLOT=REPORT")
        report = Report.load(Path(folder))
        found[slot] = found[slot] | report if slot in found else report
    return found


def show_board(standing: Standings) -> None:
    """The board as a table: points beside each score."""
    tasks = list(standing.tasks)
    rows = []
    for row in standing.shown:
        cells = [
            f"{significant(result.score) if task == 'throughput' else two(result.score)} ({two(result.points)})"
            for task, result in ((task, row.tasks[task]) for task in tasks)
        ]
        rows.append((row.rank, row.team, two(row.total), *cells))
    title = f"{standing.rules}, track {standing.track}: of {standing.maximum} points; score (points) for each task"
    emit_table((">rank", "team", ">total", *(f">{task}" for task in tasks)), rows, title=title)
    for out in standing.ineligible:
        note(f"not ranked: {out.team} ({'; '.join(out.reasons)})")
