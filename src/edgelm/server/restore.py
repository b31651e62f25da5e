"""A competition out of a backup: in a new folder and an empty database, of either kind, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from edgelm.checkpoint import validate
from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported
from edgelm.files import make_parent, read_json, sha256_file, write_bytes
from edgelm.folders import new_folder, require_fresh
from edgelm.server import audit, dump
from edgelm.server.backup import ABOUT, BLOBS, FORMAT, PRIVATE, ROWS, Snapshot, bring, opened, other_version
from edgelm.server.database import Database
from edgelm.server.scrub import named
from edgelm.server.settings import FILE, JOURNALS
from edgelm.server.storage import Storage
from edgelm.server.tables import Audit

_PRIVATE_FILE = 0o600


def restore(backup: Path, out: Path, *, database: str = "", expected: str = "") -> Snapshot:
    """Make a server's folder from a snapshot.

    Args:
        backup: a snapshot, or a folder of them, of which the latest is taken.
        out: the folder; must not exist.
        database: address of an empty database; SQLite in the folder if empty.
        expected: hash of an entry that the audit log must have: a backup from before it is refused.

    Raises:
        MissingInput: there is no backup.
        BadFile: it is damaged, incomplete, or its audit log is broken or lacks the expected entry.
        BadOption: the folder or the database holds something, or the database does not answer.
        Unsupported: it was made by another version of this program.
        NoSpace: the disk is full.
    """
    place, snapshot = find(backup)
    require_fresh(out)
    if sha256_file(place / ROWS) != snapshot.sha256:
        raise BadFile(f"{place / ROWS} is damaged", why="its sha256 is another", mend="take another backup")
    with new_folder(out) as folder:
        folder.chmod(PRIVATE)
        with _empty(database or f"sqlite:///{folder.absolute() / 'edgelm.db'}") as target, target.write() as session:
            dump.read(session, place / ROWS)
            _check(session, place, snapshot, expected)
            source, storage = Storage(place.parent / BLOBS), Storage(folder / BLOBS)
            for sha256 in sorted(named(session) - set(snapshot.absent)):
                if not bring(sha256, source, storage):
                    raise _no_file(source.path(sha256))
            for name, sha256 in snapshot.journals.items():
                _copy(source.path(sha256), folder / JOURNALS, name)
        settings = {**snapshot.settings, **({"database": database} if database else {})}
        write_bytes(folder / FILE, _toml(settings).encode(), _PRIVATE_FILE)
    return snapshot


def find(backup: Path) -> tuple[Path, Snapshot]:
    """A snapshot, where it lies and what it says of itself; of a folder of them the latest.

    Raises:
        MissingInput: there is none.
        BadFile: it cannot be read.
        Unsupported: it was made by another version of this program.
    """
    found = [backup] if (backup / ABOUT).is_file() else sorted(path.parent for path in backup.glob(f"[0-9]*/{ABOUT}"))
    if not found:
        raise MissingInput(f"{backup} holds no backup", mend="give the folder that edgelm backup wrote")
    place = found[-1].resolve()
    about = read_json(place / ABOUT)
    if isinstance(about, dict) and about.get("format") != FORMAT:
        raise Unsupported(f"{place} is a backup of another form", mend="restore it with the program that made it")
    snapshot = validate(Snapshot, about, place / ABOUT)
    if snapshot.version != dump.newest():
        raise other_version(snapshot.version, f"restore it with edgelm {snapshot.made_by}, then start this one on it")
    return place, snapshot


@contextmanager
def _empty(url: str) -> Iterator[Database]:
    """A database whose tables are new; what fails in the block leaves none of them.

    Raises:
        BadOption: it holds tables already.
    """
    with opened(url) as database:
        if set(inspect(database.engine).get_table_names()) - {"alembic_version"}:
            raise BadOption("the database holds tables already", mend="make an empty one, and give its address")
        try:
            database.migrate()
            yield database
        except BaseException:
            database.migrate("base")
            raise


def _check(session: Session, place: Path, snapshot: Snapshot, expected: str) -> None:
    """Hold the rows against what the snapshot says, and the audit log against itself.

    Raises:
        BadFile: they differ, or the log is broken or lacks the expected entry.
    """
    if (found := dump.counts(session)) != snapshot.rows:
        table = next(name for name in sorted({*found, *snapshot.rows}) if found.get(name) != snapshot.rows.get(name))
        why = f"{table} has {found.get(table)} rows, {snapshot.rows.get(table)} were written"
        raise BadFile(f"{place} is incomplete", why=why, mend="take another backup")
    broken = audit.first_break(session)
    if broken is not None or audit.head(session) != (snapshot.audit, snapshot.head):
        why = f"entry {broken or snapshot.audit} does not follow from those before it"
        raise BadFile(f"the audit log of {place} is broken", why=why, mend="take an earlier backup")
    if expected and session.scalars(select(Audit).where(Audit.hash == expected)).first() is None:
        why = f"its audit log ends at entry {snapshot.audit}, {snapshot.head[:12]}…, and has no {expected[:12]}…"
        raise BadFile(f"{place} is from before what was expected, or of another history", why=why,
                      mend="take a later backup")  # fmt: skip


def _copy(source: Path, journals: Path, name: str) -> None:
    """Copy a journal, which will be written to, to its place.

    Raises:
        BadFile: it is missing or damaged, or leads elsewhere.
    """
    path = journals / name
    if not source.is_file() or ".." in path.parts or not path.is_relative_to(journals):
        raise _no_file(source)
    make_parent(path)
    shutil.copyfile(source, path)
    if sha256_file(path) != source.name:
        raise _no_file(source)


def _no_file(path: Path) -> BadFile:
    return BadFile(f"{path} is missing or damaged", mend="take another backup")


def _toml(settings: dict[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in sorted(settings.items()))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_value(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value)  # as TOML writes texts, numbers and truths as well
