"""A results file with a row for each model and a column for each figure, as the kit's and the canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from edgelm.results.base import Expected, Figure, Note, shown
from edgelm.results.cells import read_cell
from edgelm.results.columns import MODEL, Column, column
from edgelm.results.slots import assign
from edgelm.results.table import Cell, Table
from edgelm.results.units import Place
from edgelm.submission import COLUMNS, HEADER

_NAMED = 5  # unknown headers that are named


class Rows(NamedTuple):
    """Figures row by row, figures beside the canonical columns, and what is to be said."""

    rows: list[list[Figure]]
    details: list[Figure]
    notes: list[Note]


def read_rows(found: Table, expected: Expected) -> Rows:
    """The figures of the canonical columns of a table."""
    columns, notes = _columns(found.header)
    names = [one.name for one in columns]
    notes += [Note("CLM-05", f"no column {COLUMNS[task]}") for task in expected.tasks
              if task in COLUMNS and COLUMNS[task] not in names]  # fmt: skip
    model = names.index(MODEL) if MODEL in names else None
    fitting: list[tuple[str, list[Cell]]] = []
    unread: list[Figure] = []
    for row in found.rows:
        if len(row) > len(columns):
            what = f"line {row[-1].line} has {len(row)} cells for {len(columns)} columns: not read"
            notes.append(Note("CLM-03", what, "one cell a column, with decimal points"))
            text = " | ".join(cell.text for cell in row)
            unread.append(Figure("", None, "", None, "", Fraction(0), text, f"line {row[-1].line}"))
        else:
            fitting.append((row[model].text if model is not None and model < len(row) else "", row))
    slots, unfit = assign([label for label, _ in fitting], expected.slots)
    rows: list[list[Figure]] = []
    for (label, row), slot in zip(fitting, slots, strict=True):
        figures: list[Figure] = []
        for cell, header, one in zip(row, found.header, columns, strict=False):
            if one.name not in ("", MODEL) and cell.text:
                where = f"line {cell.line}, {shown(header.text)}"
                place = Place(one.name, where, slot, one.unit, found.is_canonical, expected)
                some, said = read_cell(cell.text, place, label, decimal_comma=found.decimal_comma)
                figures += some
                notes += said
        rows.append(figures)
    return Rows(rows, unread, [*notes, *unfit])


def _columns(header: Sequence[Cell]) -> tuple[list[Column], list[Note]]:
    """What each header means; of several that mean the same the first is used."""
    columns: list[Column] = []
    notes: list[Note] = []
    unknown: list[str] = []
    seen: set[str] = set()
    for cell in header:
        one = column(cell.text)
        if not one.name and cell.text:
            unknown.append(f"“{shown(cell.text)}”")
        elif one.name in seen:
            notes.append(Note("CLM-02", f"“{shown(cell.text)}” is another column for {one.name}: ignored"))
            one = Column("")
        elif one.name and cell.text not in HEADER:
            notes.append(Note("CLM-02", f"“{shown(cell.text)}” is read as {one.name}"))
        seen.update({one.name} - {""})
        columns.append(one)
    if unknown:
        rest = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        notes.append(Note("CLM-02", f"{', '.join(unknown[:_NAMED])}{rest}: no task of this track, ignored"))
    return columns, notes
