"""Files that a package only links: a worker fetches them once, for its check, and from then on they are here.

Who names the digest of another team's file gets nothing by it: a file is the package's only once its link gave it.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.checkpoint import validate
from edgelm.files import MAX_RECORD, parse_json
from edgelm.server import audit
from edgelm.server.audit import Actor
from edgelm.server.storage import Storage
from edgelm.server.tables import File, Submission
from edgelm.submission import MANIFEST, FileEntry, Manifest


def lacking(session: Session, storage: Storage, submission: Submission) -> list[FileEntry]:
    """The files that a submission's manifest lists, and that have not come yet."""
    manifest = validate(Manifest, parse_json(storage.read(submission.manifest, MAX_RECORD), MANIFEST), MANIFEST)
    here = set(session.scalars(select(File.path).where(File.submission_id == submission.id)))
    return [entry for entry in manifest.files if entry.path not in here]


def arrived(
    session: Session, storage: Storage, actor: Actor, submission: Submission, sha256: str, now: int
) -> None:  # fmt: skip
    """A file that is whole in the storage came: it is the submission's wherever its manifest lists it.

    Args:
        session: a writing one.
        storage: that has it.
        actor: the worker that fetched it.
        submission: whose link gave it.
        sha256: its digest.
        now: microseconds.
    """
    paths = [entry.path for entry in lacking(session, storage, submission) if entry.sha256 == sha256]
    session.add_all(File(submission_id=submission.id, path=path, sha256=sha256) for path in paths)
    if paths:
        audit.record(session, actor, "submission.fetch", submission.id, now, after={"sha256": sha256, "paths": paths})
