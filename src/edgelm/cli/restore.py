"""Restore a competition from a backup: into a new folder, and an empty database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Json, Out, count, emit_json, note
from edgelm.server.restore import restore as restored


def restore(
    backup: Annotated[Path, typer.Argument(help="Folder of backups, of which the latest counts, or one snapshot.")],
    out: Out,
    database: Annotated[str, typer.Option(help="Address of an empty database; without it, SQLite in the folder.")] = "",
    expect_head: Annotated[
        str, typer.Option(help="Hash of the audit log that must be in it: an older backup is refused.")
    ] = "",
    json: Json = False,
) -> None:
    """Restore a competition from a backup: into a new folder, and an empty database.

    Every file is held against its digest, the rows against what they name, and the audit log against itself, before the
    folder appears. What edgelm backup left out for its secrets has to be set again.
    """
    snapshot = restored(backup, out, database=database, expected=expect_head)
    if json:
        emit_json({"path": out, "made": snapshot.made, "rows": sum(snapshot.rows.values()), "audit": snapshot.audit,
                   "head": snapshot.head})  # fmt: skip
    else:
        print(out)
        note(f"{count(sum(snapshot.rows.values()))} rows; the audit log holds, to {snapshot.head} ({snapshot.audit})")
        note(f"next: edgelm serve {out}")
