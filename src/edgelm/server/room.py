"""Room for what is on its way: what a team may have on the server, and what the disk can still take of all teams.

On its way is what uploads have still to bring, and what packages in their check link and a worker has still to put.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.links import LINKS
from edgelm.server import links
from edgelm.server.refusals import TooMuch
from edgelm.server.storage import DiskFull, Storage
from edgelm.server.tables import Blob, File, Job, Submission, Upload, Wanted

_LATER = "tell the organisers, and go on later: the upload resumes"


class Coming(NamedTuple):
    """A file on its way."""

    owner: str  # as the storage knows who sends it
    sha256: str
    size: int  # bytes of all of it


def require_quota(
    session: Session, storage: Storage, team_id: str, wanted: Mapping[str, int], most: int
) -> None:  # fmt: skip
    """Let through what fits beside all that the team has handed in or begun.

    Args:
        session: any.
        storage: where files lie.
        team_id: of which team.
        wanted: bytes by the digests of the files to come.
        most: bytes of a team; what several of its packages have counts once.

    Raises:
        TooMuch: it would have more.
    """
    files = select(File.sha256, Blob.size).join(Blob, Blob.sha256 == File.sha256)
    of_team = files.join(Submission, Submission.id == File.submission_id).where(Submission.team_id == team_id)
    begun = select(Wanted.sha256, Wanted.size).join(Upload, Upload.id == Wanted.upload_id)
    has = {*session.execute(of_team.distinct()),
           *session.execute(begun.where(Upload.team_id == team_id)),
           *((each.sha256, each.size) for each in _linked(session, storage, team_id))}  # fmt: skip
    total = sum(size for _, size in has | wanted.items())
    if total > most:
        raise TooMuch(
            f"the team would have {total:,} bytes on the server, at most {most:,} are kept for one",
            why=f"what it has handed in and begun to upload has {sum(size for _, size in has):,}",
            mend="give up an upload that is not needed: DELETE /uploads/ID; or ask the organisers for more",
        )  # fmt: skip


def require_disk(session: Session, storage: Storage, wanted: Mapping[str, int], reserve: int) -> None:
    """Let through what the disk holds beside all that others were promised room for.

    What another team brought counts like any other file: it may have to come, and what is told must not show it.

    Args:
        session: any.
        storage: where files lie.
        wanted: bytes by the digests of the files to come.
        reserve: bytes that stay free.

    Raises:
        DiskFull: it does not.
    """
    coming, promised = sum(wanted.values()), _promised(session, storage)
    if coming + promised + reserve > storage.free():  # asked last: what comes just now counts twice rather than never
        raise DiskFull("the server's disk has no room for this package", mend="tell the organisers",
                       why=f"it needs {coming:,} bytes, and {promised:,} of others are on their way")  # fmt: skip


def require_left(storage: Storage, reserve: int) -> None:
    """Let bytes of uploads through while they leave free what results and the database need.

    Raises:
        DiskFull: they would not.
    """
    if storage.free() < reserve:
        raise DiskFull("the server's disk is full", why="what came before is kept", mend=_LATER)


def arrived(storage: Storage, owner: str = "*") -> dict[tuple[str, str], int]:
    """The bytes that lie here of files on their way, by owner and digest: one look, however many are waited for."""
    found = {}
    for path in (storage.folder / "arriving").glob(f"{owner}/*"):
        if path.suffix != ".kept":
            with contextlib.suppress(FileNotFoundError):  # it has become whole
                found[path.parent.name, path.name] = path.stat().st_size
    return found


def _promised(session: Session, storage: Storage) -> int:
    """The bytes that are on their way and have not come."""
    begun = select(Upload.team_id, Wanted.sha256, Wanted.size).join(Wanted, Wanted.upload_id == Upload.id)
    begun = begun.where(~Wanted.shown).distinct()
    linked, here = set(_linked(session, storage)), arrived(storage)
    total = sum(each.size for each in linked) + (session.scalar(select(func.sum(begun.subquery().c.size))) or 0)
    of_senders = begun.where(Upload.team_id.in_({owner for owner, _ in here}))
    partly = {*session.execute(of_senders), *linked}
    return int(total) - sum(min(size, here.get((owner, sha256), 0)) for owner, sha256, size in partly)


def _linked(session: Session, storage: Storage, team_id: str | None = None) -> Iterator[Coming]:
    """What packages in their check link and lack: those of a team, or all."""
    checks = select(Job.id, Submission).join(Submission, Submission.id == Job.submission_id)
    checks = checks.where(Job.kind == "check", Submission.state == "checking")
    checks = checks.where(select(File).where(File.submission_id == Submission.id, File.path == LINKS).exists())
    if team_id is not None:
        checks = checks.where(Submission.team_id == team_id)
    for job, submission in session.execute(checks):
        for entry in links.lacking(session, storage, submission):
            yield Coming(f"job-{job}", entry.sha256, entry.size)
