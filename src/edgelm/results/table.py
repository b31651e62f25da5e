"""The table in a text: its separator, its header and the place of every cell; in Markdown or on its side, too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from edgelm.errors import BadFile
from edgelm.results.base import shown
from edgelm.results.columns import MODEL, column, fold, known
from edgelm.submission import HEADER

LONG_FORM = ("dataset", "version", "metric", "mode")  # how OpenCompass's summary begins
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_HINT = re.compile(r"sep=[,;\t]\n")  # a first line by which Excel is told the separator
_RULE = set("|:- \t")  # what the line below the header of a Markdown table is made of
_HEADER_WITHIN = 20  # lines
_BEGIN = f"begin with the header {','.join(HEADER)}"
_SIDES = 200  # rows and columns of a table that is turned over
_MOST_ROWS, _MOST_COLUMNS, _MOST_CELLS = 10_000, 20_000, 100_000


class Cell(NamedTuple):
    """The text of a cell without the space around it, and where it stands, from 1."""

    text: str
    line: int
    column: int


class Table(NamedTuple):
    """A header and the rows below it, with what is unusual about their form."""

    header: list[Cell]
    rows: list[list[Cell]]
    decimal_comma: bool
    odd: list[str]

    @property
    def is_long(self) -> bool:
        """Whether it has a row for each figure, as OpenCompass's summary."""
        return _is_long([cell.text for cell in self.header])

    @property
    def is_canonical(self) -> bool:
        """Whether the header is that of the canonical form or a part of it, which says the unit of every column.

        `Model` is what tells it from the kit's table, whose columns are called alike and state no unit.
        """
        return MODEL in (headers := {cell.text for cell in self.header}) and headers <= set(HEADER)


def table(text: str) -> Table:
    """The table of figures in a text.

    Raises:
        BadFile: there is none, or it has no row.
    """
    if "|" in text and (found := _best_markdown(text)):
        return _with_header(found, decimal_comma=False, odd=["a table in Markdown"])
    separated = _separated(text)
    separator = max(separated, key=lambda separator: _merit(separated[separator]))  # of equals the first: commas
    odd = [f"{_SEPARATORS[separator]} between the cells"] if separator != "," else []
    return _with_header(separated[separator], decimal_comma=separator != ",", odd=odd)


def _separated(text: str) -> dict[str, list[list[Cell]]]:
    """The rows by each separator that makes cells of a possible length."""
    hint = _HINT.match(text)
    found, refused = {}, None
    for separator in _SEPARATORS:
        try:
            found[separator] = _cells(text[hint.end() :] if hint else text, separator, 1 if hint else 0)
        except csv.Error as error:
            refused = error
    if not found:
        raise BadFile("a cell is too long to be a figure", why=str(refused), mend="one number a cell")
    return found


def _cells(text: str, separator: str, skipped: int) -> list[list[Cell]]:
    """The rows that hold anything, as many as a table may have and one more."""
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    rows: list[list[Cell]] = []
    for row in reader:
        line = reader.line_num + skipped
        cells = [Cell(cell.strip(), line, number) for number, cell in enumerate(row, start=1)]
        while cells and not cells[-1].text:
            cells.pop()
        if cells:
            rows.append(cells)
        if len(rows) > _MOST_ROWS:
            break
    return rows


def _merit(rows: list[list[Cell]]) -> tuple[bool, int]:
    """How well a separator explains a text: the long form, or the columns that a line or the first column names."""
    lines = [[cell.text for cell in row[:_MOST_COLUMNS]] for row in rows[:_HEADER_WITHIN]]
    down = known([line[0] for line in lines if len(line) > 1])
    return any(map(_is_long, lines)), max([down, *map(known, lines)], default=0)


def _is_long(headers: list[str]) -> bool:
    return tuple(map(fold, headers[: len(LONG_FORM)])) == LONG_FORM and len(headers) > len(LONG_FORM)


def _with_header(rows: list[list[Cell]], *, decimal_comma: bool, odd: list[str]) -> Table:
    """The rows below the line that names the most columns; turned over if the first column names more."""
    _require_size(rows)
    lines = [[cell.text for cell in row] for row in rows[:_HEADER_WITHIN]]
    place = max(range(len(lines)), key=lambda number: (_is_long(lines[number]), known(lines[number])))
    long, across = _is_long(lines[place]), known(lines[place])
    down = known([row[0].text for row in rows[:_SIDES]])
    if not long and down > max(1, across) and len(rows) <= _SIDES and max(map(len, rows)) <= _SIDES:
        return _with_header(_turned(rows), decimal_comma=decimal_comma, odd=[*odd, "the columns stand as rows"])
    if not long and not across:
        first = shown(" | ".join(lines[0][:5]))
        raise BadFile(f"no line names a column of figures; the first is “{first}”", mend=_BEGIN)
    if place:
        odd = [*odd, f"the header is found in line {rows[place][0].line}"]
    if not rows[place + 1 :]:
        raise BadFile("there is a header and no row of figures", mend="add one row for each slot model")
    return Table(rows[place], rows[place + 1 :], decimal_comma, odd)


def _require_size(rows: list[list[Cell]]) -> None:
    if not rows:
        raise BadFile("there is nothing but blank lines", mend=_BEGIN)
    if len(rows) > _MOST_ROWS or max(map(len, rows)) > _MOST_COLUMNS or sum(map(len, rows)) > _MOST_CELLS:
        why = f"more than {_MOST_ROWS:,} rows, {_MOST_COLUMNS:,} columns or {_MOST_CELLS:,} cells"
        raise BadFile("this is no table of results", why=why, mend="one row a slot model, one column a task")


def _turned(rows: list[list[Cell]]) -> list[list[Cell]]:
    """Columns as rows. The corner, such as “Task”, then stands above the models."""
    turned = [list(row) for row in zip_longest(*rows, fillvalue=Cell("", 0, 0))]
    if not column(turned[0][0].text).name:
        turned[0][0] = turned[0][0]._replace(text=MODEL)
    return turned


def _best_markdown(text: str) -> list[list[Cell]]:
    """The Markdown table that names the most columns; none if there is no table that names any."""
    return max(_markdown(text), key=lambda rows: known([cell.text for cell in rows[0]]), default=[])


def _markdown(text: str) -> Iterator[list[list[Cell]]]:
    """All Markdown tables that name a column: a line with bars, a line of dashes, and lines with bars."""
    lines = text.split("\n")
    number = 0
    while number < len(lines) - 1:
        if "|" in lines[number] and {"|", "-"} <= set(lines[number + 1]) <= _RULE:
            end = number + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            rows = [_bars(lines[line], line + 1) for line in (number, *range(number + 2, end))]
            if known([cell.text for cell in rows[0]]):
                yield rows
            number = end
        else:
            number += 1


def _bars(line: str, number: int) -> list[Cell]:
    """The cells of a Markdown line, whose bars at the ends may be left out; emphasis is taken off."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [Cell(cell.strip().strip("*`_ "), number, place) for place, cell in enumerate(inner.split("|"), start=1)]
