"""Backups of a competition, taken while its server runs.

    BACKUP/blobs/ab/ab12…                       files by digest, of which all snapshots share one copy
          /2026-12-01T08-00-00Z/backup.json     what a snapshot holds: counts, digests, settings, the audit log's head
                               /rows.jsonl.gz   all rows of all tables, of one moment

Rows are written first: what they name was in the storage by then, and stays there. They say nothing of the database
that they come from: `restore` puts them into SQLite or PostgreSQL. Journals of answers still grow; as many of their
lines are kept as there are by then. Uploads that are not finished are left out, and sent again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy import select
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError

from edgelm import __version__
from edgelm.errors import BadOption, MissingInput, Unsupported
from edgelm.files import disk_errors, make_parent, sha256_file, write_bytes
from edgelm.folders import new_folder
from edgelm.server import audit, dump
from edgelm.server.clock import moment
from edgelm.server.database import Database
from edgelm.server.scrub import named
from edgelm.server.settings import Settings
from edgelm.server.storage import Storage
from edgelm.server.tables import Blob

ABOUT, ROWS, BLOBS = "backup.json", "rows.jsonl.gz", "blobs"
FORMAT = 1
PRIVATE = 0o700  # mode of folders: rows hold addresses, and digests of passwords
_READ_ONLY = 0o444
_ADDRESS = "give one such as postgresql+psycopg://USER:PASSWORD@HOST/NAME"


class Snapshot(BaseModel):
    """What `backup.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    made_by: str  # version of edgelm
    made: int  # microseconds of UTC
    version: str  # of the tables
    rows: dict[str, int]  # by table
    sha256: str  # of the file of rows
    audit: int  # number of the last entry of the audit log, and its hash
    head: str
    journals: dict[str, str]  # digests by path; they lie among the files
    absent: list[str]  # files that the rows name and the server had not: lost, or not yet uploaded
    settings: dict[str, Any]  # as they were set, without the folder


class Taken(NamedTuple):
    """What was written: where, how many of its files were not there from before, and which are lost or damaged."""

    path: Path
    snapshot: Snapshot
    added: int
    lost: list[str]


def take(settings: Settings, out: Path, now: int, *, secrets: bool = False) -> Taken:
    """Add a snapshot of a server to a folder of backups. What is lost or damaged is left out, and said.

    Args:
        settings: of the server, which may run meanwhile.
        out: the folder of backups; made if there is none.
        now: microseconds, by which the snapshot is called.
        secrets: whether passwords of the settings are kept as well.

    Raises:
        MissingInput: the folder is no server's.
        Unsupported: its tables are of another version of this program.
        BadOption: the database does not answer, or `out` cannot be used.
        NoSpace: the disk is full.
    """
    if not settings.database and not (settings.folder / "edgelm.db").is_file():
        raise MissingInput(f"{settings.folder} holds no server", mend="give the folder that edgelm serve was given")
    with disk_errors(out):
        out.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    path = out / moment(now).strftime("%Y-%m-%dT%H-%M-%SZ")
    with new_folder(path) as folder:
        folder.chmod(PRIVATE)
        with opened(settings.database_url) as database, database.read() as session:
            if (version := dump.version(session)) != dump.newest():
                raise other_version(version, "start the server with this program, or back up with the one it runs with")
            with (folder / ROWS).open("wb") as file:
                dump.write(session, file)
                os.fsync(file.fileno())
            rows, needed = dump.counts(session), named(session)
            number, head = audit.head(session)
            stored = set(session.scalars(select(Blob.sha256)))
        storage, kept = Storage(settings.blobs), Storage(out / BLOBS)
        there = set(kept.all())
        absent = [sha256 for sha256 in sorted(needed) if not bring(sha256, storage, kept)]
        snapshot = Snapshot(
            format=FORMAT, made_by=__version__, made=now, version=version, rows=rows,
            sha256=sha256_file(folder / ROWS), audit=number, head=head, absent=absent,
            journals=_journals(settings.journals, kept), settings=_set(settings, secrets=secrets),
        )  # fmt: skip
        write_bytes(folder / ABOUT, snapshot.model_dump_json(indent=1).encode() + b"\n")
    return Taken(path, snapshot, len(needed - there - set(absent)), sorted(stored & set(absent)))


def bring(sha256: str, source: Storage, target: Storage) -> bool:
    """Have a file in another storage as well, by a link where both are on one disk; whether it is there, undamaged.

    A file that the other storage has already is not read again.
    """
    path = target.path(sha256)
    if path.is_file():
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{sha256}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        try:
            os.link(source.path(sha256), partial)
        except FileNotFoundError:
            return False
        except OSError:  # another disk, or one that has no links
            shutil.copyfile(source.path(sha256), partial)
        with partial.open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != sha256:
                return False
            os.fsync(file.fileno())
        partial.chmod(_READ_ONLY)
        partial.replace(path)
        return True
    finally:
        partial.unlink(missing_ok=True)


def _journals(folder: Path, kept: Storage) -> dict[str, str]:
    """Store the whole lines of all journals; their digests by path."""
    found = {}
    for path in sorted(folder.glob("*/*.jsonl")):
        partial = kept.folder / f".journal.{os.getpid()}"
        make_parent(partial)
        with path.open("rb") as source, partial.open("wb") as target:
            target.writelines(line for line in source if line.endswith(b"\n"))
            target.flush()
            os.fsync(target.fileno())
        found[path.relative_to(folder).as_posix()] = kept.take(partial)
    return found


@contextlib.contextmanager
def opened(url: str) -> Iterator[Database]:
    """A database that is given back in the end.

    Raises:
        BadOption: it does not answer.
    """
    try:
        database = Database(url)
    except ArgumentError as error:
        raise BadOption("this is no address of a database", why=str(error), mend=_ADDRESS) from None
    try:
        yield database
    except (OperationalError, InterfaceError) as error:
        raise BadOption("the database does not answer", why=str(error.orig), mend="check that it runs") from None
    finally:
        database.close()


def other_version(version: str, mend: str) -> Unsupported:
    """What to say of tables of another version."""
    why = f"this program knows version {dump.newest()}"
    return Unsupported(f"the tables are of version {version or 'none'}", why=why, mend=mend)


def _set(settings: Settings, *, secrets: bool) -> dict[str, Any]:
    """What the settings say that is not so by default; what holds passwords only if `secrets`."""
    found: dict[str, Any] = {}
    for name in sorted(settings.model_fields_set - {"folder"}):
        value = getattr(settings, name)
        secret = isinstance(value, SecretStr)
        if secrets or not (secret or name == "database"):
            found[name] = value.get_secret_value() if secret else value
    return found
