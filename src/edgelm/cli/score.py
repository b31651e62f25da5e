"""Rank submissions: points by the rules, standings of each track, and the leaderboard page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from edgelm.checkpoint import validate
from edgelm.cli.console import Json, Out, RuleSet, emit_json, emit_table, note
from edgelm.cli.named import by_name, each_named
from edgelm.errors import EXIT_FINDINGS, EXIT_GOOD, BadFile, InputError
from edgelm.files import read_json
from edgelm.report import Report
from edgelm.rules.base import HOLDOUT, Track
from edgelm.rules.stored import read_rules
from edgelm.score.board import decided
from edgelm.score.disqualification import Disqualification
from edgelm.score.entries import Entry
from edgelm.score.publish import Sign, publish
from edgelm.score.standings import Standings
from edgelm.score.states import Shown
from edgelm.score.text import significant, two
from edgelm.score.write import ENTRIES

SAID = {"live": ", so far", "frozen": ", frozen", "provisional": "", "final": ", final"}  # of a state, in a title


def score(
    submissions: Annotated[list[Path], typer.Argument(help="Submissions: each a folder, .zip, .tar or .tar.zst.")],
    out: Out,
    rules: RuleSet = "neurips-2024",
    reference: Annotated[
        list[str] | None, typer.Option(help="SLOT=REPORT of an uncompressed base, shown beside the teams; repeatable.")
    ] = None,
    holdout: Annotated[
        list[Path] | None, typer.Option(help="Your own report of a submitted checkpoint on the hold-out; repeatable.")
    ] = None,
    state: Annotated[
        Shown, typer.Option(help="Of the board: hold-outs are shown from provisional on.")
    ] = "provisional",
    revision: Annotated[int, typer.Option(min=1, help="Of the board.")] = 1,
    void: Annotated[
        list[str] | None, typer.Option(help="TASK=REASON: a task (or one hold-out) that does not count; repeatable.")
    ] = None,
    disqualified: Annotated[
        Path | None, typer.Option(help="JSON list of disqualifications, each signed by two: see docs/scoring.md.")
    ] = None,
    signed_by: Annotated[
        list[str] | None, typer.Option(help="Who signs a final board: two people, so give it twice.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private key that signs the list of files: ssh-keygen -t ed25519.")
    ] = None,
    page: Annotated[bool, typer.Option(help="Render the HTML page.")] = True,
    json: Json = False,
) -> None:
    """Rank submissions: points by the rules, standings of each track, and the leaderboard page.

    Exit code 1: some cannot be read, or on some track nobody is ranked, 2: there is no board.
    """
    ruled = read_rules(rules)
    if holdout and HOLDOUT not in ruled.tasks:
        note(f"--holdout changes nothing: the rules {ruled.name} rank no hold-out")
    unread: dict[str, InputError] = {}
    boards = publish(
        ruled, submissions, out,
        reference=_references(reference or []), holdouts=[Report.load(path) for path in holdout or []], page=page,
        board=decided(
            ruled, state, revision, void=by_name("--void", void or [], "TASK=REASON"),
            signatures=tuple(signed_by or ()),
            disqualified=_disqualified(disqualified) if disqualified else [],
        ),
        sign=_signer(key) if key else None, unread=unread,
    )  # fmt: skip
    if json:
        emit_json([standing.model_dump(mode="json") for standing in boards])
    for standing in boards if not json else ():
        show_board(standing)
        for line in _missing(standing, _entries(out / standing.track), ruled.track(standing.track)):
            note(line)
        if page:
            note(f"page: {out / standing.track / 'index.html'}")
    for path, error in unread.items():
        note(f"not ranked: {path} ({'; '.join(filter(None, (error.what, error.why, error.mend)))})")
    empty = [standing for standing in boards if not standing.board]
    for standing in empty:
        note(f"nobody is ranked in track {standing.track}: all submissions are out of competition")
        if any(reason.startswith("rules: ") for out in standing.ineligible for reason in out.reasons):
            note("mend: give the rules that they were packed under, --rules NAME")
    raise typer.Exit(EXIT_FINDINGS if unread or empty else EXIT_GOOD)


def _entries(board: Path) -> dict[str, Entry]:
    """What a board was computed from, by submission."""
    found = (validate(Entry, row, board / ENTRIES) for row in read_json(board / ENTRIES))
    return {entry.submission: entry for entry in found}


def _missing(standing: Standings, entries: Mapping[str, Entry], track: Track) -> Iterator[str]:
    """Why scores of the board are missing or lower than they could be, a line a model."""
    for row in standing.shown:
        models = entries[row.submission].models
        for slot in track.slots:
            notes = models[slot].notes if slot in models else ("no model is brought",)
            if notes:
                yield f"{row.team}, {slot}: {'; '.join(notes)}"


def _disqualified(path: Path) -> list[Disqualification]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise BadFile(f"{path} is no list of disqualifications", mend="write [{…}, …]: see docs/scoring.md")
    return [validate(Disqualification, row, path) for row in rows]


def _signer(key: Path) -> Sign:
    from edgelm.score.signature import private_key

    return private_key(key).sign


def _references(given: list[str]) -> dict[str, Report]:
    """Reports by slot; several of one slot are joined."""
    found: dict[str, Report] = {}
    for slot, folder in each_named("--reference", given, "SLOT=REPORT"):
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
    board = f"{standing.rules}, track {standing.track}{SAID[standing.state]}"
    title = f"{board}: of {standing.maximum} points; score (points) for each task"
    emit_table((">rank", "team", ">total", *(f">{task}" for task in tasks)), rows, title=title)
    for out in standing.ineligible:
        note(f"not ranked: {out.team} ({'; '.join(out.reasons)})")
