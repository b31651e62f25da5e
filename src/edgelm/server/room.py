"""Room for what is on its way: what a team may have on the server, and what the disk can still take of all teams."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.server.refusals import TooMuch
from edgelm.server.storage import DiskFull, Storage
from edgelm.server.tables import Blob, File, Submission, Upload, Wanted

_LATER = "tell the organisers, and go on later: the upload resumes"


def require_quota(session: Session, team_id: str, wanted: Mapping[str, int], most: int) -> None:
    """Let through what fits beside all that the team has handed in or begun.

    Args:
        session: any.
        team_id: of which team.
        wanted: bytes by the digests of the files to come.
        most: bytes of a team; what several of its packages have counts once.

    Raises:
        TooMuch: it would have more.
    """
    files = select(File.sha256, Blob.size).join(Blob, Blob.sha256 == File.sha256)
    of_team = files.join(Submission, Submission.id == File.submission_id).where(Submission.team_id == team_id)
    sizes = dict(session.execute(of_team.distinct()).all())
    begun = select(Wanted.sha256, Wanted.size).join(Upload, Upload.id == Wanted.upload_id)
    sizes |= dict(session.execute(begun.where(Upload.team_id == team_id)).all())
    total = sum({**sizes, **wanted}.values())
    if total > most:
        raise TooMuch(
            f"the team would have {total:,} bytes on the server, at most {most:,} are kept for one",
            why=f"what it has handed in and begun to upload has {sum(sizes.values()):,}",
            mend="give up an upload that is not needed: DELETE /uploads/ID; or ask the organisers for more",
        )  # fmt: skip


def require_disk(session: Session, storage: Storage, wanted: Mapping[str, int], reserve: int) -> None:
    """Let through what the disk holds beside all that others were promised room for.

    Args:
        session: any.
        storage: where files lie.
        wanted: bytes by the digests of the files to come.
        reserve: bytes that stay free.

    Raises:
        DiskFull: it does not.
    """
    coming = sum(size for sha256, size in wanted.items() if not storage.holds(sha256))
    begun = select(Upload.team_id, Wanted.sha256, Wanted.size).join(Wanted, Wanted.upload_id == Upload.id)
    promised = sum(
        size - storage.arrived(team, sha256)
        for team, sha256, size in session.execute(begun.where(~Wanted.shown).distinct())
        if not storage.holds(sha256)
    )
    if coming + promised + reserve > storage.free():
        raise DiskFull("the server's disk has no room for this package", mend="tell the organisers",
                       why=f"it needs {coming:,} bytes, and {promised:,} of others are on their way")  # fmt: skip


def require_left(storage: Storage, reserve: int) -> None:
    """Let bytes of uploads through while they leave free what results and the database need.

    Raises:
        DiskFull: they would not.
    """
    if storage.free() < reserve:
        raise DiskFull("the server's disk is full", why="what came before is kept", mend=_LATER)
