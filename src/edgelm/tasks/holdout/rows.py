"""The rows of a pack: JSON lines of strict form, each named by its line in every error."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from edgelm.errors import BadFile
from edgelm.files import canonical_json, parse_json
from edgelm.tasks.holdout.folder import HoldOut

MOST_ROWS = 100_000
LETTERS = string.ascii_uppercase
Row = dict[str, Any]


def read_rows(data: HoldOut, file: str) -> list[tuple[str, Row]]:
    """Every row with its place, such as `line 3 of x.jsonl`; empty lines are skipped.

    Raises:
        MissingInput: the hold-out has no such file.
        BadFile: not UTF-8, not JSON, no object, an infinite number in it, no rows, or too many.
    """
    content = data.read(file)
    rows = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            where = f"line {number} of {data.root / file}"
            rows.append((where, _row(line, where)))
        if len(rows) > MOST_ROWS:
            raise BadFile(f"{data.root / file} has more than {MOST_ROWS:,} rows", mend="part it into several packs")
    if not rows:
        raise BadFile(f"{data.root / file} has no rows", mend="write one JSON object a line")
    return rows


def _row(line: bytes, where: str) -> Row:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadFile(f"{where} is not UTF-8 text", why=str(error), mend="save the file as UTF-8") from None
    row = parse_json(text, where)
    if not isinstance(row, dict):
        raise BadFile(f"{where} is no JSON object", mend='write {"column": value, …}')
    try:
        canonical_json(row)
    except ValueError as error:  # an infinite number, such as 1e999
        raise BadFile(f"{where} cannot be written as JSON", why=str(error), mend="mend the row") from None
    return row


def column(row: Mapping[str, Any], name: str, where: str) -> Any:
    """The value of a column.

    Raises:
        BadFile: the row lacks it.
    """
    if name not in row:
        raise BadFile(f"{where} lacks the column '{name}'", why=f"it has {', '.join(sorted(row)) or 'none'}",
                      mend="mend the row, or name another column in the pack")  # fmt: skip
    return row[name]


def as_text(value: Any, name: str, where: str) -> str:
    """A value as text: a text or a number.

    Raises:
        BadFile: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadFile(f"{where}: '{name}' is neither text nor number", mend="mend the row")
    return str(value)


def texts(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    """A column that holds one text or several, as a list without repeats or empty ones.

    Raises:
        BadFile: it holds something else, or nothing.
    """
    value = column(row, name, where)
    found = [as_text(each, name, where) for each in (value if isinstance(value, list) else [value])]
    if not found or not all(found) or len(set(found)) < len(found):
        raise BadFile(f"{where}: '{name}' holds an empty text, the same twice, or nothing", mend="mend the row")
    return found


def choices(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    """A column that holds 2 to 26 different choices.

    Raises:
        BadFile: it does not.
    """
    found = texts(row, name, where)
    if not 2 <= len(found) <= len(LETTERS):
        raise BadFile(f"{where} offers {len(found)} choices in '{name}'", why="2 to 26 are needed", mend="mend the row")
    return found


def right_place(row: Mapping[str, Any], name: str, count: int, where: str) -> int:
    """Which of `count` choices a column names: by its letter, or by its place counted from 0.

    Raises:
        BadFile: neither of any choice.
    """
    value = column(row, name, where)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count:
        return value
    if isinstance(value, str) and len(value) == 1 and value in LETTERS[:count]:
        return LETTERS.index(value)
    raise BadFile(f"{where}: '{name}' names none of its {count} choices", mend=f"write a letter (A to "
                  f"{LETTERS[count - 1]}) or a place from 0 to {count - 1}")  # fmt: skip
