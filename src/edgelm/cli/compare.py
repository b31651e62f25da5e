"""Hold two reports against each other: differences with their certainty, and the answers that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.cli.console import Json, emit_json, emit_table, note, percent
from edgelm.evaluate.compare import Difference, Pair, noted, only_in
from edgelm.evaluate.compare import compare as compared
from edgelm.evaluate.page import comparison_page
from edgelm.files import write_bytes
from edgelm.report import Report

SHOWN_TEXT = 300  # characters of an answer on the screen; --json has all


def compare(
    a: Annotated[Path, typer.Argument(help="Report folder.")],
    b: Annotated[Path, typer.Argument(help="Report folder that is held against it.")],
    task: Annotated[list[str] | None, typer.Option("--task", "-t", help="Only this task; repeatable.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Changed answers to print of each task and direction.")] = 5,
    html: Annotated[Path | None, typer.Option(help="Also write the comparison as one HTML page.")] = None,
    json: Json = False,
) -> None:
    """Hold two reports against each other: differences with their certainty, and the answers that changed.

    Rows that both answered under the same protocol are paired. The interval is of 95 %; p is the exact sign test's
    (McNemar's) on the rows whose mark changed.
    """
    differences = compared(a, b, task or ())
    left, right = Report.load(a), Report.load(b)
    only = {"A": only_in(left, right), "B": only_in(right, left)}
    if html:
        write_bytes(html, comparison_page(left, right, differences).encode())
        note(f"page: {html}")
    if json:
        emit_json({"tasks": list(map(_as_json, differences)), "only_in_a": only["A"], "only_in_b": only["B"]})
        return
    _show_table(differences)
    for name, tasks in only.items():
        if tasks:
            note(f"only in {name}: {', '.join(tasks)}")
    for text, tasks in noted(differences).items():
        note(f"{', '.join(tasks)}: {text}")
    for each in differences:
        _show_changes(f"{each.task}: {len(each.lost)} answers earn less in B", each.lost[:show])
        _show_changes(f"{each.task}: {len(each.gained)} answers earn more in B", each.gained[:show])


def _show_table(differences: list[Difference]) -> None:
    rows = [
        (each.task, percent(each.a.score), percent(each.b.score), f"{each.difference:+.2f}",
         f"{each.interval.low:+.2f} to {each.interval.high:+.2f}", len(each.lost), len(each.gained), each.rows,
         f"{each.p:.2g}")
        for each in differences
    ]  # fmt: skip
    columns = ("task", ">A %", ">B %", ">B − A", ">95 %", ">lost", ">gained", ">of", ">p")
    emit_table(columns, rows)


def _show_changes(title: str, pairs: list[Pair]) -> None:
    if pairs:
        rows = [(before.sample, _short(before.text), _short(after.text)) for before, after in pairs]
        emit_table(("sample", "answer of A", "answer of B"), rows, title=f"\n{title}")


def _short(text: str) -> str:
    """The end of a text, where most answers stand."""
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_TEXT else "…" + text[1 - SHOWN_TEXT :]


def _as_json(each: Difference) -> dict[str, Any]:
    return {
        "task": each.task, "protocol": each.a.protocol, "a": each.a.score, "b": each.b.score, "rows": each.rows,
        "difference": each.difference, "interval": each.interval, "p": each.p, "notes": each.notes,
        "lost": [_pair(pair) for pair in each.lost], "gained": [_pair(pair) for pair in each.gained],
    }  # fmt: skip


def _pair(pair: Pair) -> dict[str, Any]:
    before, after = pair
    return {"sample": before.sample, "subset": before.subset,
            "a": {"text": before.text, "mark": before.mark}, "b": {"text": after.text, "mark": after.mark}}  # fmt: skip
