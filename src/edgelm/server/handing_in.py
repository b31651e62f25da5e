"""Handing a package in: all of it in one transaction, so that there is a submission with its slot and job, or nothing.

Before that it is asked, at little cost, whether the package may be handed in at all as things are; then it is put
together, and the checker looks at all but the weights' values. What it refuses is a submission, too, which has cost an
attempt and takes no slot. What may not be handed in, because of dates, slots or an earlier one, leaves no trace.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from edgelm.archives.entries import shown
from edgelm.check.base import Finding, worst
from edgelm.check.fetch import HOSTS
from edgelm.check.run import check
from edgelm.errors import InputError
from edgelm.files import MAX_RECORD
from edgelm.links import LINKS, read_links
from edgelm.rules.base import Rules
from edgelm.server import audit, blobs, phases, queue, slots, states, uploads
from edgelm.server.audit import Actor
from edgelm.server.packages import assembled
from edgelm.server.refusals import Conflict
from edgelm.server.storage import Storage
from edgelm.server.tables import File, Phase, Submission, Upload
from edgelm.server.tables import Finding as Found
from edgelm.submission import MANIFEST, Manifest

_looking = threading.BoundedSemaphore(2)  # what the checker reads of one package may fill much of the memory


@dataclass(frozen=True)
class Candidate:
    """An uploaded package that may be handed in."""

    digest: str  # of its manifest
    manifest: Manifest
    files: dict[str, str]  # digests of those that were brought, by their paths


@dataclass(frozen=True)
class Package:
    """An uploaded package, looked at."""

    manifest: Manifest
    files: dict[str, str]
    findings: list[Finding]


def candidate(
    session: Session, storage: Storage, rules: Rules, upload: Upload, max_package: int, received: int,
    phase: Phase | None = None,
) -> Candidate:  # fmt: skip
    """An upload, if it may be handed in as things are; it may lack files.

    Args:
        session: any.
        storage: where its files lie.
        rules: in force.
        upload: whose it is.
        max_package: bytes that it may have.
        received: when the call came, in microseconds; what counts for the phase.
        phase: as for `hand_in`.

    Raises:
        Refused: its manifest does not fit the rules in force (SUB-06).
        Conflict: as `hand_in`.
    """
    _phase_of(session, rules, upload, received, phase)
    manifest = uploads.read_manifest(storage.read(upload.manifest, MAX_RECORD), rules, max_package)
    brought = uploads.brought(session, storage, upload)
    files = {entry.path: entry.sha256 for entry in manifest.files if entry.sha256 in brought}
    return Candidate(upload.manifest, manifest, files)


def look(
    storage: Storage, rules: Rules, candidate: Candidate, max_package: int, link_hosts: Sequence[str] = HOSTS
) -> Package:
    """Check what was uploaded, by the digests that it was stored under.

    Args:
        storage: where its files lie.
        rules: in force.
        candidate: what is looked at.
        max_package: bytes that it may have.
        link_hosts: where files may lie that it only links.

    Raises:
        Conflict: files are missing that do not lie elsewhere (PKG-05).
        DiskFull: the package cannot be put together.
    """
    manifest, digest, files = candidate.manifest, candidate.digest, candidate.files
    lacking = {entry.path for entry in manifest.files} - set(files)
    if lacking and (lost := sorted(lacking - _linked(storage, candidate))):
        raise Conflict(f"{len(lost)} files are not here yet, such as {lost[0]}",
                       mend="upload them, then hand the package in", code="PKG-05")  # fmt: skip
    with assembled(storage, digest, files) as folder, _looking:
        digests = {MANIFEST: digest, **files}
        findings = check(folder, rules, track=manifest.track, max_bytes=max_package, digests=digests,
                         hosts=link_hosts)  # fmt: skip
    return Package(manifest, files, findings)


def hand_in(
    session: Session, storage: Storage, rules: Rules, actor: Actor, upload: Upload, package: Package, received: int,
    phase: Phase | None = None,
) -> Submission:  # fmt: skip
    """Make a submission of an upload.

    Args:
        session: a writing one.
        storage: where its files lie.
        rules: in force.
        actor: who hands it in.
        upload: which is over then.
        package: as `look` found it.
        received: when the call came, in microseconds; what counts for the phase.
        phase: an open one that it is for; the scored phase or the preliminary review if None.

    Raises:
        Conflict: no phase is open (SUB-02), the team is not registered (SUB-01), has handed it in before (SUB-04), has
            no attempt (SUB-05) or no slot left (SUB-03).
    """
    phase = _phase_of(session, rules, upload, received, phase)
    team, track = upload.team_id, upload.track
    if phase.kind != phases.SMOKE:  # these have a quota of their own
        slots.attempt(session, rules, team, track, phase.name)
    submission = Submission(
        team_id=team, user_id=actor.id, track=track, phase=phase.name, manifest=upload.manifest,
        title=shown(package.manifest.title)[:uploads.TITLE], received=received, state="checking", changed=received,
    )  # fmt: skip
    session.add(submission)
    blobs.enter(session, storage, {upload.manifest, *package.files.values()}, received)
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


def _linked(storage: Storage, candidate: Candidate) -> set[str]:
    """The files that a package says lie elsewhere."""
    only = {path: sha256 for path, sha256 in candidate.files.items() if path == LINKS}
    with assembled(storage, candidate.digest, only) as folder, _looking:
        try:
            return {link.path for link in read_links(folder)}
        except InputError:
            return set()


def _phase_of(session: Session, rules: Rules, upload: Upload, received: int, phase: Phase | None) -> Phase:
    """The phase that a package received then is for, if its team may hand it in."""
    phase = phase or phases.receiving(session, received) or phases.require(session, "scored", received, "SUB-02")
    uploads.require_registered(session, upload.team_id, upload.track)
    uploads.require_new(session, upload.team_id, upload.manifest, phase.name)
    if phase.kind != phases.SMOKE:
        slots.require_any(session, rules, upload.team_id, upload.track, phase.name, scored=phase.kind == "scored")
    return phase
