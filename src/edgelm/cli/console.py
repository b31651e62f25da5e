"""What a person sees: results on stdout as tables or JSON, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edgelm.errors import EdgelmError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
Data = Annotated[
    Path | None, typer.Option("--data", envvar="EDGELM_DATA", help="Local data folder, in the upstream layout.")
]
RuleSet = Annotated[
    str, typer.Option("--rules", help="Rule set: see `edgelm ls rules`; or its published file, FILE.json.")
]
OfflineFlag = Annotated[bool, typer.Option("--offline", envvar="EDGELM_OFFLINE", help="Never use the network.")]

WIDE = 200  # columns of a table that goes to a file or a pipe

_out, _err = Console(highlight=False), Console(stderr=True, highlight=False)
if not _out.is_terminal and "COLUMNS" not in os.environ:
    _out.width = WIDE


def complain(error: EdgelmError) -> None:
    """Print an error: what, why, mend."""
    _err.print("[red]error:[/] ", end="")
    _err.print(error.what, markup=False, soft_wrap=True)
    for word, text in (("why", error.why), ("mend", error.mend)):
        if text:
            _err.print(f"[dim]{word}:[/] ", end="")
            _err.print(text, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """A line about the work, on stderr."""
    _err.print(text, markup=False, soft_wrap=True, style="dim")


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of stdout has gone (`edgelm … | head`), with the code a shell expects of that."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def emit_json(value: object) -> None:
    """A value as JSON on stdout; fractions as text in lowest terms, paths as text."""
    with _reader_may_leave():
        print(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def emit_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A table on stdout. Columns whose name starts with `>` are aligned right."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, show_header=any(columns)
    )
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # plain text: brackets are no markup
    with _reader_may_leave():
        _out.print(table)


class Bars(Protocol):
    """What moves the bars of `progress`: the bar's label, how much is done, of how much, and a word beside it."""

    def __call__(self, label: str, done: int, total: int, said: str = "") -> None:
        """Move a bar."""


@contextlib.contextmanager
def progress(*columns: ProgressColumn) -> Iterator[Bars]:
    """A progress bar for each label, on stderr and only on a terminal.

    `columns` stand behind the others.
    """
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), *columns,
        TextColumn("{task.fields[said]}"), console=_err, transient=True, disable=not _err.is_terminal,
    )  # fmt: skip
    tasks: dict[str, Any] = {}

    def update(label: str, done: int, total: int, said: str = "") -> None:
        if label not in tasks:
            tasks[label] = bars.add_task(label, total=total, said=said)
        bars.update(tasks[label], completed=done, total=total, said=said)

    with bars:
        yield update


def watched() -> bool:
    """Whether a person sees bars move."""
    return _err.is_terminal


def percent(score: Fraction) -> str:
    """A score with two decimals."""
    return f"{float(score):.2f}"


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"
