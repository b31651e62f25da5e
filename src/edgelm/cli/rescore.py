"""Score a submission's answers anew with our own scorers and data, and hold the claims against what comes out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Data, Json, OfflineFlag, Out, RuleSet, emit_json, emit_table, note, percent
from edgelm.data.folder import DataFolder
from edgelm.errors import EXIT_FINDINGS, EXIT_GOOD, EXIT_INPUT
from edgelm.evaluate.views import write_views
from edgelm.rules.stored import read_rules
from edgelm.submission import Submission
from edgelm.verify.rescore import RESCORED
from edgelm.verify.rescore import rescore as run
from edgelm.verify.rescored import Rescored, Rescoring
from edgelm.verify.stored import few

EXIT_CODES = {"equal": EXIT_GOOD, "different": EXIT_FINDINGS, "unusable": EXIT_INPUT}


def rescore(
    submission: Annotated[Path, typer.Argument(help="Submission: a folder, .zip, .tar or .tar.zst.")],
    out: Out,
    rules: RuleSet = "neurips-2024",
    data: Data = None,
    offline: OfflineFlag = False,
    json: Json = False,
) -> None:
    """Score a submission's answers anew with our own scorers and data, and hold the claims against what comes out.

    The submission is only read. Exit code 0: all scores are as claimed, 1: some are not, 2: some cannot be made.
    """
    with Submission(submission) as opened:
        found = run(opened, read_rules(rules), DataFolder(data, offline=offline), out)
    for slot, report in found.reports.items():
        for line in write_views(out / slot) if report.tasks else ():
            note(line)
    if json:
        emit_json(found.as_json())
    else:
        show_rows(found)
        note(f"{out / RESCORED} has all of it{'; a report of each model lies beside it' if found.reports else ''}")
    raise typer.Exit(EXIT_CODES[found.status])


def show_rows(found: Rescoring) -> None:
    """The table: a row a task, and below it what is to be said of some."""
    columns = ("slot", "task", ">results.csv", ">report.json", ">recomputed", ">difference", ">answers",
               ">marks differ", "")  # fmt: skip
    emit_table(columns, [_cells(row) for row in found.rows], title=f"submission {found.submission[:12]}")
    for row in found.rows:
        for text in row.notes:
            note(f"{' '.join(filter(None, (row.slot, row.task)))}: {text}")
        if row.differing:
            note(f"{row.slot} {row.task}: another mark than claimed for {few(row.differing, 5)}")


def _cells(row: Rescored) -> tuple[object, ...]:
    made, claimed = row.score, row.claimed
    return (
        row.slot, row.task or "–", _shown(row.figure.canonical if row.figure else None),
        _shown(claimed.score if claimed else None), _shown(made.score if made else None),
        f"{float(row.difference):+.2f}" if row.difference is not None else "",
        f"{made.samples:,} of {made.of:,}" if made else "", f"{len(row.differing):,}" if made else "", row.status,
    )  # fmt: skip


def _shown(score: Fraction | None) -> str:
    return "" if score is None else percent(score)
