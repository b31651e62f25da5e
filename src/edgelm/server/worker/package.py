"""A submission's files, fetched once for each worker by their digests, and linked into a folder as they were packed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from edgelm.checkpoint import validate
from edgelm.errors import BadFile
from edgelm.files import disk_errors, parse_json, sha256_file
from edgelm.folders import new_folder
from edgelm.server.worker.calls import Calls, Job
from edgelm.submission import MANIFEST, Manifest


def fetched(calls: Calls, job: Job, cache: Path, digest: str, hold: Callable[[], object]) -> Path:
    """A file in the cache, whole and verified.

    Raises:
        BadFile: what came has another digest; it is not kept.
        NoSpace: the disk is full; what has come is kept.
    """
    target = cache / digest[:2] / digest
    if not target.exists():
        arriving = target.with_name(f"{digest}.{os.getpid()}.part")
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            hold()
            calls.fetch(job, digest, arriving)
            if sha256_file(arriving, lambda _: hold()) != digest:
                arriving.unlink()
                raise BadFile(f"file {digest[:12]}… arrived damaged", mend="it is fetched again")
            arriving.chmod(0o444)
            arriving.replace(target)
    return target


def assembled(calls: Calls, job: Job, cache: Path, folder: Path, hold: Callable[[], object]) -> Manifest:
    """The package as a folder, whole if it is there at all; its manifest.

    Args:
        calls: to the server.
        job: whose submission it is.
        cache: where files lie by digest.
        folder: to be made.
        hold: raises once the lease is lost.
    """
    first = fetched(calls, job, cache, job.manifest, hold)
    manifest = validate(Manifest, parse_json(first.read_bytes(), MANIFEST), MANIFEST)
    if not folder.exists():
        with new_folder(folder) as made:
            for path, digest in {MANIFEST: job.manifest, **{each.path: each.sha256 for each in manifest.files}}.items():
                target = made / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(fetched(calls, job, cache, digest, hold), target)
    return manifest


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        shutil.copyfile(source, target)
        target.chmod(0o444)
