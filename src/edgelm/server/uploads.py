"""Packages on their way: a manifest says which files are to come, and what is there already need not come again.

A file is taken only if an upload of the sender's team wants it, up to the size that its manifest says. Whoever names a
digest is taken to have the file: the digests of a package's files are its team's to tell.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgelm.archives.entries import Entry, entry_problem, shown
from edgelm.checkpoint import validate
from edgelm.errors import InputError
from edgelm.files import parse_json, sha256_bytes
from edgelm.rules.base import Rules
from edgelm.server import audit
from edgelm.server.audit import Actor
from edgelm.server.refusals import Conflict, NotThere, Refused, TooMuch
from edgelm.server.storage import DiskFull, Storage
from edgelm.server.tables import Submission, Team, Upload, Wanted
from edgelm.submission import MANIFEST, MAX_ENTRIES, Manifest

OPEN = 5  # uploads that a team may have begun and not handed in
_RESERVE = 2**30  # bytes that uploads leave free on the disk
_PAGE = "the page of your team"


class Missing(NamedTuple):
    """A file that an upload still lacks."""

    sha256: str
    size: int  # bytes
    offset: int  # bytes of it that are here


def read_manifest(data: bytes, rules: Rules, max_package: int) -> Manifest:
    """The manifest of a package that can be uploaded and laid out on a disk.

    Raises:
        Refused: it is not; with the code of the finding.
    """
    try:
        manifest = validate(Manifest, parse_json(data, MANIFEST), MANIFEST)
        rules.track(manifest.track)
    except InputError as error:
        raise Refused(error.what, why=error.why, mend=error.mend, code="PKG-04") from None
    if manifest.rules != rules.digest:
        raise Refused(
            f"packed under other rules ({manifest.rules[:12]}…)", code="SUB-06",
            why=f"{rules.name} ({rules.digest[:12]}…) are in force",
            mend="read the change notice, then edgelm pack again",
        )  # fmt: skip
    _require_safe(manifest)
    total = sum(entry.size for entry in manifest.files)
    if total > max_package:
        largest = sorted(manifest.files, key=lambda entry: -entry.size)[:3]
        raise TooMuch(
            f"the package has {total:,} bytes, at most {max_package:,} are taken", code="PKG-07",
            why="largest: " + ", ".join(f"{shown(entry.path)} {entry.size:,}" for entry in largest),
            mend="drop optimiser states, and what is held twice",
        )  # fmt: skip
    return manifest


def begin(
    session: Session, storage: Storage, actor: Actor, team_id: str, user_id: str, manifest: Manifest, data: bytes,
    now: int,
) -> Upload:  # fmt: skip
    """Begin an upload, or find the one that the team began with the same manifest.

    Args:
        session: a writing one.
        storage: where files lie.
        actor: who begins it.
        team_id: whose package it is.
        user_id: who brings it.
        manifest: as `read_manifest` gives it.
        data: its bytes.
        now: microseconds.

    Raises:
        Conflict: the team is not registered for the track (SUB-01), has handed the package in before (SUB-04), or has
            too many uploads open.
        DiskFull: the disk could not hold it.
    """
    require_registered(session, team_id, manifest.track)
    digest = sha256_bytes(data)
    require_new(session, team_id, digest)
    known = session.scalars(select(Upload).filter_by(team_id=team_id, manifest=digest)).first()
    if known is not None:
        return known
    if (session.scalar(select(func.count()).select_from(Upload).filter_by(team_id=team_id)) or 0) >= OPEN:
        raise Conflict(f"the team has begun {OPEN} uploads", mend="hand one in, or give it up: DELETE /uploads/ID")
    wanted = {entry.sha256: entry.size for entry in manifest.files}
    lacking = sum(size for sha256, size in wanted.items() if not storage.holds(sha256))
    if lacking + _RESERVE > storage.free():
        raise DiskFull("the server's disk has no room for this package", mend="tell the organisers")
    if 0 in wanted.values():
        storage.put(b"")  # of which no part can come
    upload = Upload(team_id=team_id, user_id=user_id, manifest=storage.put(data), track=manifest.track, created=now)
    session.add(upload)
    session.flush()
    session.add_all(Wanted(upload_id=upload.id, sha256=sha256, size=size) for sha256, size in wanted.items())
    audit.record(session, actor, "upload.begin", upload.id, now, after={"manifest": digest, "track": manifest.track})
    return upload


def find(session: Session, upload_id: str, team_id: str) -> Upload:
    """An upload of a team.

    Raises:
        NotThere: it has none of that id.
    """
    upload = session.get(Upload, upload_id)
    if upload is None or upload.team_id != team_id:
        raise NotThere(f"the team has no upload {upload_id}", mend="begin one: POST /uploads")
    return upload


def missing(session: Session, storage: Storage, upload: Upload) -> list[Missing]:
    """The files that an upload still lacks, smallest first: what is wrong with a package shows in its small files."""
    wanted = session.scalars(select(Wanted).filter_by(upload_id=upload.id).order_by(Wanted.size, Wanted.sha256))
    found = []
    for each in wanted:
        if not storage.holds(each.sha256):
            found.append(Missing(each.sha256, each.size, storage.arrived(upload.team_id, each.sha256)))
    return found


def size_of(session: Session, team_id: str, sha256: str) -> int:
    """The bytes of a file that an upload of the team wants.

    Raises:
        NotThere: none does.
    """
    of_team = select(Wanted.size).join(Upload, Upload.id == Wanted.upload_id).where(Upload.team_id == team_id)
    size = session.scalars(of_team.where(Wanted.sha256 == sha256).order_by(Upload.created.desc())).first()
    if size is None:
        raise NotThere(f"no upload of the team wants {sha256[:12]}…", mend="send its manifest first: POST /uploads")
    return size


def give_up(session: Session, storage: Storage, actor: Actor, upload: Upload, now: int) -> None:
    """Forget an upload, and what has come of files that no other upload of the team wants.

    Raises:
        Busy: a request writes to one of them.
    """
    of_team = select(Wanted.sha256).join(Upload, Upload.id == Wanted.upload_id).where(Upload.team_id == upload.team_id)
    kept = set(session.scalars(of_team.where(Upload.id != upload.id)))
    for sha256 in session.scalars(select(Wanted.sha256).filter_by(upload_id=upload.id)):
        if sha256 not in kept and storage.arrived(upload.team_id, sha256):
            storage.forget(upload.team_id, sha256)
    remove(session, upload)
    audit.record(session, actor, "upload.give-up", upload.id, now, before={"manifest": upload.manifest})


def remove(session: Session, upload: Upload) -> None:
    """Remove the rows of an upload that is over."""
    session.delete(upload)
    session.flush()


def require_registered(session: Session, team_id: str, track: str) -> None:
    """Let through teams that are registered for a track.

    Raises:
        Conflict: it is not (SUB-01).
    """
    team = session.get_one(Team, team_id)
    if track not in team.tracks:
        raise Conflict(
            f"{team.name} is not registered for {track}", why=f"it is for: {', '.join(team.tracks) or 'no track'}",
            mend=f"the captain registers it on {_PAGE}", code="SUB-01",
        )  # fmt: skip


def require_new(session: Session, team_id: str, manifest: str) -> None:
    """Let through packages that the team has not handed in before.

    Raises:
        Conflict: it has (SUB-04).
    """
    before = list(session.scalars(select(Submission).filter_by(team_id=team_id).order_by(Submission.received)))
    for number, one in enumerate(before, start=1):
        if one.manifest == manifest:
            raise Conflict(
                f"the team handed this package in before, as {one.id}", mend="change the package and pack it again",
                why=f"nothing has changed since its submission {number}, which is {one.state}", code="SUB-04",
            )  # fmt: skip


def _require_safe(manifest: Manifest) -> None:
    """Refuse manifests whose files cannot lie in one folder on every system, or that contradict themselves.

    Raises:
        Refused: with the first such file.
    """
    if len(manifest.files) >= MAX_ENTRIES:
        raise Refused(f"{len(manifest.files):,} files, fewer than {MAX_ENTRIES:,} are taken", code="PKG-03")
    seen: set[str] = set()
    entry_problem(Entry(MANIFEST, 0), seen)
    sizes: dict[str, int] = {}
    for entry in manifest.files:
        if problem := entry_problem(Entry(entry.path, entry.size), seen):
            raise Refused(f"{shown(entry.path)} {problem}", mend="pack from plain files: edgelm pack", code="PKG-02")
        if sizes.setdefault(entry.sha256, entry.size) != entry.size or entry.size >= 2**63:
            raise Refused(f"{shown(entry.path)} is listed with a size that cannot be", mend="run edgelm pack again",
                          code="PKG-05")  # fmt: skip
