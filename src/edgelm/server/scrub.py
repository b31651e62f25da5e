"""Whether the storage holds what the tables name, unharmed, and nothing else for longer than a day."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.files import sha256_file
from edgelm.server.clock import DAY, SECOND
from edgelm.server.packages import sweep
from edgelm.server.storage import Storage
from edgelm.server.tables import Blob, File, Job, Kept, Progress, Revision, Submission, Upload, Wanted

_NAMING = (
    File.sha256, Submission.manifest, Wanted.sha256, Upload.manifest, Progress.blob, Job.result, Job.reached,
    Kept.sha256, Revision.standings, Revision.entries, Revision.decisions, Revision.bundle,
)  # fmt: skip  # every column that names a file


class Scrubbed(NamedTuple):
    """What was found, as digests."""

    lost: list[str]  # that the tables name, and the disk has not, or not with that size
    removed: list[str]  # that nothing names


def named(session: Session) -> set[str]:
    """The digests of all files that the tables name."""
    return {digest for column in _NAMING for digest in session.scalars(select(column).distinct()) if digest}


def scrub(session: Session, storage: Storage, now: int) -> Scrubbed:
    """Compare the tables with the disk, and remove what nothing has named for a day.

    Args:
        session: a writing one, so that nothing begins to be named meanwhile.
        storage: of the server.
        now: microseconds.
    """
    needed, lost, removed = named(session), list[str](), list[str]()
    for blob in session.scalars(select(Blob).order_by(Blob.sha256)).all():
        held = storage.holds(blob.sha256)
        if not held and blob.sha256 not in needed:  # removed before, by a scrub that was broken off
            session.delete(blob)
        elif not held or storage.size(blob.sha256) != blob.size:
            lost.append(blob.sha256)
    for digest in sorted(set(storage.all()) - needed):
        if now - storage.path(digest).stat().st_mtime_ns // 1000 > DAY:
            if known := session.get(Blob, digest):
                session.delete(known)
            storage.path(digest).unlink()
            removed.append(digest)
    wanted = session.execute(select(Upload.team_id, Wanted.sha256).join(Wanted, Wanted.upload_id == Upload.id))
    storage.sweep({(team, digest) for team, digest in wanted}, (now - DAY) / SECOND)
    sweep(storage)
    session.flush()
    return Scrubbed(lost, removed)


def damaged(storage: Storage) -> list[str]:
    """The files whose bytes are not what their names say. All of them are read: minutes for each TB at the least."""
    return [digest for digest in sorted(storage.all()) if sha256_file(storage.path(digest)) != digest]
