"""Handing a package in: all of it in one transaction, so that there is a submission with its slot and job, or nothing.

Before that, what needs no decision: the package is put together, and the checker looks at all but the weights' values.
What it refuses is a submission, too, which has cost an attempt and takes no slot. What may not be handed in at all,
because of dates, slots or an earlier one, leaves no trace.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.archives.entries import shown
from edgelm.check.base import Finding, worst
from edgelm.check.run import check
from edgelm.errors import InputError
from edgelm.files import MAX_RECORD
from edgelm.links import read_links
from edgelm.rules.base import Rules
from edgelm.server import audit, phases, queue, slots, states, uploads
from edgelm.server.audit import Actor
from edgelm.server.packages import assembled
from edgelm.server.refusals import Conflict
from edgelm.server.storage import Storage
from edgelm.server.tables import Blob, File, Phase, Submission, Upload
from edgelm.server.tables import Finding as Found
from edgelm.submission import MANIFEST, Manifest

_looking = threading.BoundedSemaphore(2)  # what the checker reads of one package may fill much of the memory
_AT_ONCE = 5000  # rows asked for in one statement
_TITLE = 200  # characters


@dataclass(frozen=True)
class Package:
    """An uploaded package, looked at."""

    manifest: Manifest
    files: dict[str, str]  # digests of those that are here, by their paths
    findings: list[Finding]


def look(storage: Storage, rules: Rules, digest: str, max_package: int) -> Package:
    """Check what was uploaded, by the digests that it was stored under.

    Args:
        storage: where its files lie.
        rules: in force.
        digest: of its manifest.
        max_package: bytes that it may have.

    Raises:
        Refused: its manifest does not fit the rules in force (SUB-06).
        Conflict: files are missing that do not lie elsewhere (PKG-05).
    """
    manifest = uploads.read_manifest(storage.read(digest, MAX_RECORD), rules, max_package)
    listed = {entry.path: entry.sha256 for entry in manifest.files}
    files = {path: sha256 for path, sha256 in listed.items() if storage.holds(sha256)}
    with assembled(storage, digest, files) as folder, _looking:
        try:
            linked = {link.path for link in read_links(folder)}
        except InputError:
            linked = set()
        if lacking := sorted(set(listed) - set(files) - linked):
            raise Conflict(f"{len(lacking)} files are not here yet, such as {lacking[0]}",
                           mend="upload them, then hand the package in", code="PKG-05")  # fmt: skip
        digests = {MANIFEST: digest, **files}
        findings = check(folder, rules, track=manifest.track, max_bytes=max_package, digests=digests)
    return Package(manifest, files, findings)


def hand_in(
    session: Session, storage: Storage, rules: Rules, actor: Actor, upload: Upload, package: Package, received: int
) -> Submission:
    """Make a submission of an upload.

    Args:
        session: a writing one.
        storage: where its files lie.
        rules: in force.
        actor: who hands it in.
        upload: which is over then.
        package: as `look` found it.
        received: when the call came, in microseconds; what counts for the phase.

    Raises:
        Conflict: no phase is open (SUB-02), the team is not registered (SUB-01), has handed it in before (SUB-04), has
            no attempt (SUB-05) or no slot left (SUB-03).
    """
    phase = _phase(session, received)
    team, track = upload.team_id, upload.track
    uploads.require_registered(session, team, track)
    uploads.require_new(session, team, upload.manifest)
    slots.attempt(session, rules, team, track, phase.name)
    submission = Submission(
        team_id=team, user_id=actor.id, track=track, phase=phase.name, manifest=upload.manifest,
        title=shown(package.manifest.title)[:_TITLE], received=received, state="checking", changed=received,
    )  # fmt: skip
    session.add(submission)
    _enter(session, storage, {upload.manifest, *package.files.values()}, received)
    session.add_all(File(submission_id=submission.id, path=path, sha256=sha256)
                    for path, sha256 in package.files.items())  # fmt: skip
    session.add_all(Found(submission_id=submission.id, number=number, body=found.as_json())
                    for number, found in enumerate(package.findings, start=1))  # fmt: skip
    audit.record(session, actor, "submission.hand-in", submission.id, received,
                 after={"manifest": upload.manifest, "track": track, "phase": phase.name})  # fmt: skip
    if worst(package.findings) == "E":
        grave = package.findings[0]
        states.move(session, actor, submission, "refused", received, code=grave.code, sentence=shown(grave.what),
                    fault="participant")  # fmt: skip
    else:
        if phase.kind == "scored":
            slots.reserve(session, rules, submission)
        queue.enqueue(session, actor, key=f"check/{submission.id}", submission_id=submission.id, kind="check",
                      now=received)  # fmt: skip
    uploads.remove(session, upload)
    return submission


def _phase(session: Session, received: int) -> Phase:
    """The phase that what was received then belongs to: the scored one, or else the preliminary review."""
    open_ = phases.scored(session, received) or phases.open_phase(session, "preliminary", received)
    return open_ or phases.require(session, "scored", received, "SUB-02")


def _enter(session: Session, storage: Storage, digests: set[str], now: int) -> None:
    """Enter files that are whole in the table of those that packages have."""
    ordered = sorted(digests)
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        known = set(session.scalars(select(Blob.sha256).where(Blob.sha256.in_(some))))
        session.add_all(Blob(sha256=sha256, size=storage.size(sha256), whole=True, created=now)
                        for sha256 in some if sha256 not in known)  # fmt: skip
    session.flush()
