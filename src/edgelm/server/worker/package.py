"""A submission's files, fetched once for each worker by their digests, and linked into a folder as they were packed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from edgelm.checkpoint import validate
from edgelm.errors import BadFile
from edgelm.files import disk_errors, parse_json, sha256_file
from edgelm.folders import new_folder
from edgelm.links import read_links
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.cache import ROOM, Cache
from edgelm.server.worker.calls import Calls, Job
from edgelm.server.worker.linked import Links
from edgelm.submission import MANIFEST, Manifest

_TRIES = 5  # at a file that others remove from the cache


def fetched(calls: Calls, job: Job, cache: Cache, digest: str, hold: Callable[[], object]) -> Path:
    """A file in the cache, whole and verified.

    Raises:
        BadFile: what came has another digest; it is not kept.
        NoSpace: the disk is full; what has come is kept.
    """
    target = cache.path(digest)
    if not cache.has(digest):
        arriving = target.with_name(f"{digest}.{job.id}-{job.fence}.part")
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            hold()
            calls.fetch(job, digest, arriving, hold)
            if sha256_file(arriving, lambda _: hold()) != digest:
                arriving.unlink()
                raise BadFile(f"file {digest[:12]}… arrived damaged", mend="it is fetched again")
            arriving.chmod(0o444)
            arriving.replace(target)
    return target


def assembled(bench: Bench, job: Job, folder: Path, hold: Callable[[], object]) -> Sequence[str]:
    """The package as a folder, whole if it is there at all.

    Args:
        bench: of the worker.
        job: whose submission it is.
        folder: to be made.
        hold: raises once the lease is lost.

    Returns:
        The hosts that its links may name.

    Raises:
        NoFile, Fault: as `linked.Links.fetch`.
    """
    calls, cache = bench.calls, bench.cache
    first = fetched(calls, job, cache, job.manifest, hold)
    manifest = validate(Manifest, parse_json(first.read_bytes(), MANIFEST), MANIFEST)
    lacking, hosts = calls.lacking(job)
    if folder.exists():
        return hosts
    cache.trim(sum(entry.size for entry in manifest.files if not cache.has(entry.sha256)) + ROOM)
    away = {entry.path for entry in lacking}
    with new_folder(folder) as made:

        def place(path: str, digest: str) -> None:
            _link(lambda: fetched(calls, job, cache, digest, hold), made / path)

        place(MANIFEST, job.manifest)
        for entry in manifest.files:
            if entry.path not in away:
                place(entry.path, entry.sha256)
        if lacking:
            Links(calls, job, cache, hold, bench.fetcher).fetch(read_links(made), lacking, hosts)
            for entry in lacking:
                place(entry.path, entry.sha256)
    return hosts


def _link(source: Callable[[], Path], target: Path) -> None:
    """Link what is in the cache. Another worker may remove it just then: it is fetched again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            return _linked(source(), target)
    return _linked(source(), target)


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        shutil.copyfile(source, target)
        target.chmod(0o444)
