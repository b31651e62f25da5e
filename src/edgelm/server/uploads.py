"""Packages on their way: a manifest says which files are to come, and what is there already need not come again.

A file is taken only if an upload of the sender's team wants it, up to the size that its manifest says. Whoever names a
digest has yet to show the file: by sending it, by a submission of the team that has it, or by a proof (`possession`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from edgelm.archives.entries import Entry, entry_problem, shown
from edgelm.checkpoint import validate
from edgelm.errors import InputError
from edgelm.files import MAX_RECORD, parse_json, sha256_bytes
from edgelm.rules.base import Rules
from edgelm.server import audit, notices, phases, possession, room
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.clock import DAY
from edgelm.server.keys import new_key
from edgelm.server.refusals import Conflict, NotThere, Refused, TooMuch
from edgelm.server.settings import Settings
from edgelm.server.storage import Busy, Storage
from edgelm.server.tables import Blob, File, Submission, Team, Upload, User, Wanted
from edgelm.submission import MANIFEST, MAX_ENTRIES, Manifest

OPEN = 5  # uploads that a team may have begun and not handed in
ENTRIES = 100_000  # files of all of them together
TITLE = 200  # characters of a package's title that are kept
_PAGE = "the page of your team"
_FEWER = "hand one in, or give it up: DELETE /uploads/ID"


class Missing(NamedTuple):
    """A file that an upload still lacks."""

    sha256: str
    size: int  # bytes
    offset: int  # bytes of it that are here
    proof: list[possession.Range]  # that show the team to have it, if another brought it; none if it must come


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


def require_room(
    session: Session, storage: Storage, settings: Settings, team_id: str, manifest: Manifest, data: bytes
) -> None:  # fmt: skip
    """Let through a package that the team and the disk have room for, or that is on its way already.

    Much is read for it, so do it before `begin`, while others can write.

    Args:
        session: any.
        storage: where files lie.
        settings: for how much a team may bring, and what stays free.
        team_id: whose package it is.
        manifest: as `read_manifest` gives it.
        data: its bytes.

    Raises:
        TooMuch: the team would have too much on the server.
        DiskFull: the disk could not hold it.
    """
    if _begun(session, team_id, sha256_bytes(data)):
        return
    wanted = {entry.sha256: entry.size for entry in manifest.files}
    room.require_quota(session, storage, team_id, wanted, settings.team_bytes)
    coming = dict(wanted.items() - _shown(session, team_id))
    room.require_disk(session, storage, coming, settings.reserve)


def begin(
    session: Session, storage: Storage, settings: Settings, actor: Actor, team_id: str, user_id: str,
    manifest: Manifest, data: bytes, now: int,
) -> Upload:  # fmt: skip
    """Begin an upload, or find the one that the team began with the same manifest.

    Args:
        session: a writing one.
        storage: where files lie.
        settings: for how long it is kept.
        actor: who begins it.
        team_id: whose package it is.
        user_id: who brings it.
        manifest: as `read_manifest` gives it.
        data: its bytes.
        now: microseconds.

    Raises:
        Conflict: the team is not registered for the track (SUB-01), has handed the package in before (SUB-04), or has
            too many uploads open, or too many files in them.
    """
    require_registered(session, team_id, manifest.track)
    digest, expires = sha256_bytes(data), now + settings.upload_days * DAY
    if phase := phases.receiving(session, now):
        require_new(session, team_id, digest, phase.name)
    if known := _begun(session, team_id, digest):
        known.expires = expires
        return known
    if (session.scalar(select(func.count()).select_from(Upload).filter_by(team_id=team_id)) or 0) >= OPEN:
        raise Conflict(f"the team has begun {OPEN} uploads", mend=_FEWER)
    wanted = {entry.sha256: entry.size for entry in manifest.files}
    of_team = select(func.count()).select_from(Wanted).join(Upload, Upload.id == Wanted.upload_id)
    begun = session.scalar(of_team.where(Upload.team_id == team_id)) or 0
    if begun + len(wanted) > ENTRIES:
        raise Conflict(f"the team's uploads would have {begun + len(wanted):,} files, at most {ENTRIES:,} are taken",
                       why=f"those that it has begun have {begun:,}", mend=_FEWER)  # fmt: skip
    shown = _shown(session, team_id)
    if 0 in wanted.values():
        shown.add((storage.put(b""), 0))  # of which no part can come
    upload = Upload(team_id=team_id, user_id=user_id, manifest=storage.put(data), track=manifest.track,
                    nonce=new_key(), created=now, expires=expires)  # fmt: skip
    session.add(upload)
    session.flush()
    if wanted:
        session.execute(insert(Wanted), [
            {"upload_id": upload.id, "sha256": sha256, "size": size, "shown": (sha256, size) in shown}
            for sha256, size in wanted.items()
        ])  # fmt: skip
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


def of_team(session: Session, team_id: str) -> list[Upload]:
    """The uploads that a team has begun and not handed in, the latest first."""
    return list(session.scalars(select(Upload).filter_by(team_id=team_id).order_by(Upload.created.desc(), Upload.id)))


def size(session: Session, upload: Upload) -> int:
    """The bytes of all files that an upload is of, each once."""
    return int(session.scalar(select(func.sum(Wanted.size)).filter_by(upload_id=upload.id)) or 0)


@lru_cache(maxsize=256)  # a manifest may be long, and never changes
def title(storage: Storage, manifest: str) -> str:
    """What a package is called in the manifest of that digest; empty if it cannot be read."""
    try:
        named = parse_json(storage.read(manifest, MAX_RECORD), MANIFEST)
    except InputError:
        return ""
    return shown(str(named.get("title", "")))[:TITLE] if isinstance(named, dict) else ""


def missing(session: Session, storage: Storage, upload: Upload) -> list[Missing]:
    """The files that an upload still lacks, smallest first: what is wrong with a package shows in its small files."""
    wanted = session.scalars(select(Wanted).filter_by(upload_id=upload.id).order_by(Wanted.size, Wanted.sha256))
    found = []
    for each in wanted:
        here = _is_here(storage, each)
        if not (here and each.shown):
            ranges = possession.asked(upload.nonce, each.sha256, each.size) if here else []
            found.append(Missing(each.sha256, each.size, storage.arrived(upload.team_id, each.sha256), ranges))
    return found


def wanted_by(session: Session, team_id: str, sha256: str) -> Wanted:
    """A file that an upload of the team wants.

    Raises:
        NotThere: none does.
    """
    of_team = select(Wanted).join(Upload, Upload.id == Wanted.upload_id).where(Upload.team_id == team_id)
    latest = of_team.where(Wanted.sha256 == sha256).order_by(Upload.created.desc(), Wanted.size.desc())
    found = session.scalars(latest).first()
    if found is None:
        raise NotThere(f"no upload of the team wants {sha256[:12]}…", mend="send its manifest first: POST /uploads")
    return found


def mark_shown(session: Session, team_id: str, digests: Collection[str]) -> None:
    """The team sent those files, or proved that it has them: all its uploads that want them have them."""
    of_team = select(Upload.id).where(Upload.team_id == team_id)
    for sha256 in digests:
        session.execute(update(Wanted).where(Wanted.sha256 == sha256, Wanted.upload_id.in_(of_team)).values(shown=True))


def proved(session: Session, storage: Storage, upload: Upload, proofs: Mapping[str, str]) -> list[str]:
    """The files that an upload's team has, by proofs of that; much is read for it, so do it while others can write."""
    asked = {each.sha256: each.proof for each in missing(session, storage, upload) if each.proof}
    return [sha256 for sha256, proof in proofs.items() if sha256 in asked
            and proof == possession.proof(upload.nonce, storage.path(sha256), asked[sha256])]  # fmt: skip


def brought(session: Session, storage: Storage, upload: Upload) -> set[str]:
    """The files of an upload that are here and that its team has shown to have."""
    shown = session.scalars(select(Wanted).filter_by(upload_id=upload.id, shown=True))
    return {each.sha256 for each in shown if _is_here(storage, each)}


def give_up(session: Session, storage: Storage, actor: Actor, upload: Upload, now: int) -> None:
    """Forget an upload, and what has come of files that no other upload of the team wants.

    Raises:
        Busy: a request writes to one of them.
    """
    of_team = select(Wanted.sha256).join(Upload, Upload.id == Wanted.upload_id).where(Upload.team_id == upload.team_id)
    kept = set(session.scalars(of_team.where(Upload.id != upload.id)))
    begun = room.arrived(storage, upload.team_id)
    for sha256 in session.scalars(select(Wanted.sha256).filter_by(upload_id=upload.id)):
        if sha256 not in kept and (upload.team_id, sha256) in begun:
            storage.forget(upload.team_id, sha256)
    remove(session, upload)
    audit.record(session, actor, "upload.give-up", upload.id, now, before={"manifest": upload.manifest})


def expire(session: Session, storage: Storage, now: int) -> None:
    """Give up the uploads that have been kept for as long as they are, and tell who began them."""
    for upload in session.scalars(select(Upload).where(Upload.expires <= now)).all():
        try:
            give_up(session, storage, SYSTEM, upload, now)
        except Busy:  # something comes of it just now
            continue
        body = "What had come of it was removed. Upload the package again if you still mean to hand it in."
        notices.tell(session, [session.get_one(User, upload.user_id)], "An upload was given up", body, now)


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


def require_new(session: Session, team_id: str, manifest: str, phase: str) -> None:
    """Let through packages that the team has not handed in before in a phase.

    Raises:
        Conflict: it has (SUB-04).
    """
    before = list(session.scalars(select(Submission).filter_by(team_id=team_id).order_by(Submission.received)))
    for number, one in enumerate(before, start=1):
        if (one.manifest, one.phase) == (manifest, phase):
            raise Conflict(
                f"the team handed this package in before, as {one.id}", mend="change the package and pack it again",
                why=f"nothing has changed since its submission {number}, which is {one.state}", code="SUB-04",
            )  # fmt: skip


def _begun(session: Session, team_id: str, manifest: str) -> Upload | None:
    """The upload that a team began with the manifest of that digest."""
    return session.scalars(select(Upload).filter_by(team_id=team_id, manifest=manifest)).first()


def _is_here(storage: Storage, wanted: Wanted) -> bool:
    """Whether a file is here, with the very size that the manifest says.

    With another it has to come, where its digest is found wrong: a proof over a size of the asker's choice proves
    nothing, and a refusal would tell that the digest is known.
    """
    return storage.holds(wanted.sha256) and storage.size(wanted.sha256) == wanted.size


def _shown(session: Session, team_id: str) -> set[tuple[str, int]]:
    """The files that the team has shown to have, with their sizes: they are in its submissions, or its uploads."""
    handed_in = select(File.sha256, Blob.size).join(Blob, Blob.sha256 == File.sha256)
    handed_in = handed_in.join(Submission, Submission.id == File.submission_id)
    begun = select(Wanted.sha256, Wanted.size).join(Upload, Upload.id == Wanted.upload_id).where(Wanted.shown)
    return {*session.execute(handed_in.where(Submission.team_id == team_id)),
            *session.execute(begun.where(Upload.team_id == team_id))}  # fmt: skip


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
