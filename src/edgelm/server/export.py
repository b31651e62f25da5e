"""Everything that organisers may take with them, as one archive of tables: no secret, no figure of a hold-out.

What goes out is written down here, column by column, so that a column which comes later stays within until it is added.
Cells that a spreadsheet would reckon with begin with an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from edgelm.server.database import Database
from edgelm.server.storage import room
from edgelm.server.tables import (
    Appeal,
    Attempts,
    Audit,
    Decision,
    Examination,
    Finding,
    Job,
    Member,
    Phase,
    Revision,
    RuleSet,
    Slot,
    Submission,
    Table,
    Team,
    User,
)

_TABLES: dict[str, tuple[type[Table], str]] = {
    "phases": (Phase, "name kind opens closes"),
    "rules": (RuleSet, "digest since reason body"),
    "teams": (Team, "id name tracks created"),
    "people": (User, "id email name role created disabled"),
    "members": (Member, "user_id team_id captain student joined"),
    "submissions": (Submission, "id team_id user_id track phase manifest title received state stage code sentence "
                                "fault review changed"),
    "findings": (Finding, "submission_id number body"),
    "slots": (Slot, "team_id track phase number submission_id use"),
    "attempts": (Attempts, "team_id track phase used"),
    "jobs": (Job, "id key submission_id kind priority state attempt worker created ended cause result"),
    "appeals": (Appeal, "id submission_id user_id text created decision reason decided"),
    "decisions": (Decision, "id kind body reason proposed_by seconded_by created applied withdrawn"),
    "revisions": (Revision, "track number state standings created reason"),
    "stage2": (Examination, "track team_id submission_id rank state drawn material_id figures reason changed"),
    "audit": (Audit, "number time actor role action object before after reason previous hash"),
}  # fmt: skip
_RECKONED = ("=", "+", "-", "@", "\t", "\r")
_ROWS = 1000  # that are held at once
_PIECE = 2**20  # bytes


def archive(database: Database, folder: Path) -> IO[bytes]:
    """A zip archive of all tables, from one state of the database: a file without a name, gone when it is closed.

    It is whole before anything is sent, so that nobody's slow line keeps the database at that state.

    Args:
        database: of the competition.
        folder: on a disk that has room for it.

    Raises:
        DiskFull: it has none.
    """
    with room():
        folder.mkdir(parents=True, exist_ok=True)
        made = TemporaryFile(dir=folder)  # noqa: SIM115 - whoever reads it closes it
        with database.read() as session, ZipFile(made, "w", ZIP_DEFLATED) as packed:
            for name in _TABLES:
                with packed.open(f"{name}.csv", "w") as file:
                    for rows in _written(session, name):
                        file.write(rows)
    made.seek(0)
    return made


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of a file, some of it in memory at a time; it is closed in the end."""
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _written(session: Session, name: str) -> Iterator[bytes]:
    """A table as CSV, some rows at a time, in the order of its key."""
    table, named = _TABLES[name]
    columns = [getattr(table, column) for column in named.split()]
    wanted = select(*columns).order_by(*inspect(table).primary_key).execution_options(yield_per=_ROWS)
    yield _lines([named.split()])
    for rows in session.execute(wanted).partitions():
        yield _lines([[_cell(value) for value in row] for row in rows])


def _lines(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, str) and value.startswith(_RECKONED):
        return f"'{value}"
    return "" if value is None else str(value)
