"""The standings as a folder of files, for programs, spreadsheets and people.

    standings.json    the standings, canonical: equal standings give equal bytes
    entries.json      what they were computed from
    decisions.json    the state of the board, and what organisers have decided
    board.csv         one line a team
    board.md          the same as a table
    index.html        the page, if one is given

Above the folders of all tracks stand `rules.json` and `marks/`, one file a model and task, named by its digest.

Fractions stand exact ("117/2") in JSON and CSV, and with two decimals in Markdown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from edgelm.files import canonical_json, write_bytes
from edgelm.folders import new_folder
from edgelm.rules.base import Rules
from edgelm.score.board import Board
from edgelm.score.entries import THROUGHPUT, Entry
from edgelm.score.standings import Standings, entries_bytes
from edgelm.score.text import significant, two

RULES, MARKS = "rules.json", "marks"
STANDINGS, ENTRIES, DECISIONS = "standings.json", "entries.json", "decisions.json"
BOARD_CSV, BOARD_MD, PAGE = "board.csv", "board.md", "index.html"


def write_standings(
    folder: Path,
    rules: Rules,
    standing: Standings,
    entries: Iterable[Entry],
    board: Board,
    page: str | None = None,
) -> None:
    """Write a new folder with the standings in every form.

    Raises:
        BadOption: the folder exists already.
        NoSpace: the disk is full.
    """
    with new_folder(folder) as out:
        write_bytes(out / STANDINGS, standing.to_bytes())
        write_bytes(out / ENTRIES, entries_bytes(entries))
        write_bytes(out / DECISIONS, canonical_json(board.model_dump(mode="json")))
        write_bytes(out / BOARD_CSV, board_csv(rules, standing).encode())
        write_bytes(out / BOARD_MD, board_markdown(rules, standing).encode())
        if page is not None:
            write_bytes(out / PAGE, page.encode())


def board_csv(rules: Rules, standing: Standings) -> str:
    """One line a team: rank, exact total, and score, place, tie and points of every task. Fractions are exact."""
    tasks = _ordered_tasks(rules, standing)
    sink = io.StringIO()
    lines = csv.writer(sink, lineterminator="\n")
    columns = [f"{task} {column}" for task in tasks for column in ("score", "place", "tied", "points")]
    lines.writerow(["rank", "team", "submission", "total", *columns])
    for row in standing.board:
        results = [row.tasks[task] for task in tasks]
        cells = [value for result in results for value in (result.score, result.place, result.tied, result.points)]
        lines.writerow([row.rank, _plain(row.team), row.submission, row.total, *cells])
    return sink.getvalue()


def board_markdown(rules: Rules, standing: Standings) -> str:
    """The board as a table: total, and for each task the score with its place."""
    tasks = _ordered_tasks(rules, standing)
    lines = [
        f"# {standing.rules}: {standing.track}",
        "",
        f"State: {standing.state}, revision {standing.revision}: {said(standing)}.",
        "",
        f"Selection: {standing.selection}. Each task: score (place), = shared. Memory by {rules.memory_meter}, "
        f"throughput measured on the {rules.throughput_source}.",
        "",
        "| rank | team | total | " + " | ".join(tasks) + " |",
        "| ---: | :--- | ---: |" + " ---: |" * len(tasks),
    ]
    for row in standing.shown:
        cells = []
        for task in tasks:
            result = row.tasks[task]
            score = significant(result.score) if task == THROUGHPUT else two(result.score)
            shared = "=" if result.tied and result.tied > 1 else ""
            cells.append(f"{score} ({shared}{result.place})" if result.place else score)
        lines.append(f"| {row.rank} | {_escaped(row.team)} | {two(row.total)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_sensitivity_markdown(standing)]) + "\n"


def _sensitivity_markdown(standing: Standings) -> list[str]:
    """The table of what each selection rule would say."""
    lines = ["| rule | winner | rank 3 or better | teams that move | largest move |",
             "| :--- | :--- | :--- | :--- | ---: |"]  # fmt: skip
    for row in standing.sensitivity:
        rule = f"{row.selection} (in force)" if row.selection == standing.selection else row.selection
        teams = (_escaped(", ".join(names) or "none") for names in (row.winners, row.podium, row.moved))
        lines.append(f"| {rule} | {' | '.join(teams)} | {row.largest_move} |")
    return lines


def said(standing: Standings) -> str:
    """What the totals of a board are out of, in its state."""
    void = f" ({', '.join(standing.void)} void)" if standing.void else ""
    far = "totals so far, of" if standing.state in ("live", "frozen") else "totals of"
    return f"{far} {standing.maximum} points{void}"


def _ordered_tasks(rules: Rules, standing: Standings) -> list[str]:
    return [task for task in rules.weights if task in standing.tasks]


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else " " if letter in "\r\n" else letter for letter in text)
