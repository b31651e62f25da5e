"""All rows of all tables as lines of JSON, out of one database and into another, of whichever kind.

    {"table": "user", "columns": ["id", "email", …]}
    ["8c1f…", "ann@example.org", …]
    …

Tables come in the order in which they can be filled, rows in that of their keys, so that equal tables give equal bytes.
Bytes are written in base64. Of a message whose link bears a secret, the link is left out, and the message counts as
sent: nobody who reads the rows can follow it, and who waits for it asks for another.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import LargeBinary, case, func, insert, literal, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Session

from edgelm.errors import BadFile
from edgelm.server.tables import Notice, Table

_AT_ONCE = 1000  # rows that are held in memory
_WRITTEN: dict[Any, Any] = {  # in place of columns
    Notice.__table__.c.link: literal(""),
    Notice.__table__.c.sent: case((Notice.link == "", Notice.sent), else_=Notice.created),
}
_BAD = (OSError, EOFError, ValueError, TypeError, KeyError, UnboundLocalError, zlib.error, StatementError)


def version(session: Session) -> str:
    """The version of the tables; empty if there are none."""
    return MigrationContext.configure(session.connection()).get_current_revision() or ""


def newest() -> str:
    """The version of the tables that this program knows."""
    return ScriptDirectory(str(Path(__file__).parent / "migrations")).get_current_head() or ""


def counts(session: Session) -> dict[str, int]:
    """How many rows each table has."""
    return {table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Table.metadata.sorted_tables}  # fmt: skip


def lines(session: Session) -> Iterator[bytes]:
    """The rows that a transaction sees, a part of them in memory at a time."""
    for table in Table.metadata.sorted_tables:
        yield _line({"table": table.name, "columns": table.columns.keys()})
        keys = table.primary_key.columns.values()
        columns = [_WRITTEN.get(column, column) for column in table.columns]
        for row in session.execute(select(*columns).order_by(*keys).execution_options(yield_per=_AT_ONCE)):
            yield _line(list(row))


def write(session: Session, file: IO[bytes]) -> None:
    """Write the rows that a transaction sees, packed."""
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=5, mtime=0, filename="") as packed:
        for line in lines(session):
            packed.write(line)


def read(session: Session, path: Path) -> None:
    """Fill empty tables with rows that were written.

    Args:
        session: a writing one.
        path: of the file.

    Raises:
        BadFile: it is damaged, is of other tables, or names rows that it has not.
    """
    try:
        with gzip.open(path) as file:
            for table, rows in groupby(_rows(json.loads(line) for line in file), key=itemgetter(0)):
                while some := [row for _, row in islice(rows, _AT_ONCE)]:
                    session.execute(insert(table), some)
    except _BAD as error:
        why = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0][:200]
        raise BadFile(f"the rows of {path} cannot be restored", why=why, mend="take another backup") from None


def _rows(values: Iterable[Any]) -> Iterator[tuple[SqlTable, dict[str, Any]]]:
    """Each row with its table.

    Raises:
        ValueError, KeyError, …: it is none of ours.
    """
    for value in values:
        if isinstance(value, dict):
            table, columns = Table.metadata.tables[value["table"]], value["columns"]
            if columns != table.columns.keys():
                raise ValueError(f"the table {table.name} has other columns")
        else:
            row = dict(zip(columns, value, strict=True))
            yield table, row | {name: base64.b64decode(row[name], validate=True) for name in _of_bytes(table)}


def _of_bytes(table: SqlTable) -> list[str]:
    """The columns of a table that hold bytes."""
    return [column.name for column in table.columns if isinstance(column.type, LargeBinary)]


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_text).encode() + b"\n"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
