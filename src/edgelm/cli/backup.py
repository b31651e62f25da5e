"""Back up a competition while its server runs: all rows, files and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Json, count, emit_json, note
from edgelm.errors import EXIT_FINDINGS, EXIT_GOOD
from edgelm.server.backup import take
from edgelm.server.clock import utc_now
from edgelm.server.settings import read_settings


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder of the competition, as edgelm serve was given it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of backups; each adds a snapshot to it.")],
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Keep passwords of the settings as well, such as the database's.")
    ] = False,
    json: Json = False,
) -> None:
    """Back up a competition while its server runs: all rows, files and settings.

    Files that an earlier snapshot of the folder has are not copied again. Exit code 1: the snapshot is there, but files
    were lost or damaged before.
    """
    taken = take(read_settings(folder), out, utc_now(), secrets=secrets)
    snapshot = taken.snapshot
    if json:
        emit_json({"path": taken.path, "rows": sum(snapshot.rows.values()), "added": taken.added, "lost": taken.lost,
                   "audit": snapshot.audit, "head": snapshot.head})  # fmt: skip
    else:
        print(taken.path)
        note(f"{count(sum(snapshot.rows.values()))} rows, {count(taken.added)} files that were not there before")
        note(f"head of the audit log: {snapshot.head} (entry {snapshot.audit}); for edgelm restore --expect-head")
        for sha256 in taken.lost:
            note(f"lost or damaged on the server: {sha256}")
    raise typer.Exit(EXIT_FINDINGS if taken.lost else EXIT_GOOD)
