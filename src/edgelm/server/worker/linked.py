"""Files that a package only links: fetched from where they lie, compared, and put onto the server, once for all.

They are fetched by the worker itself, outside of every box, which only hashes and keeps their bytes. No key of the
worker goes to those hosts. What has come of a file is kept when its host breaks off, or the worker is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from edgelm.check.base import Finding, finding
from edgelm.check.fetch import Fetcher, Refused, Unreachable, address_problem
from edgelm.files import disk_errors, sha256_file
from edgelm.links import LINKS, Link
from edgelm.server.worker.cache import Cache
from edgelm.server.worker.calls import Calls, Job
from edgelm.server.worker.faults import Fault
from edgelm.submission import FileEntry

WAITS = (1.0, 5.0, 20.0)  # seconds before each further try of a host that gives nothing
PART = "package/links"  # of a job's progress
_TELL = 5.0  # seconds between two lines on how far it is


class NoFile(Fault):
    """A link does not give the file that is listed: the participant's fault, with the code of the finding."""

    def __init__(self, path: str, code: str, why: str) -> None:
        super().__init__("participant", code, f"{path}: {why}")

    def finding(self) -> Finding:
        """What a check says of it."""
        return finding(self.code, LINKS, self.what)


@dataclass(frozen=True)
class Links:
    """Fetches what a package links.

    Attributes:
        calls: to the server.
        job: whose package it is.
        cache: that files go to.
        hold: raises once the lease is lost.
        fetcher: over the network.
    """

    calls: Calls
    job: Job
    cache: Cache
    hold: Callable[[], object]
    fetcher: Fetcher

    def fetch(self, links: Sequence[Link], lacking: Sequence[FileEntry], hosts: Sequence[str]) -> None:
        """Have files in the cache and on the server.

        Args:
            links: of the package's `links.json`.
            lacking: the files, as its manifest lists them.
            hosts: that may be asked.

        Raises:
            NoFile: a link gives another.
            Fault: a host is away, by which `away` is set.
            NoSpace: the disk is full; what has come is kept.
        """
        known = {link.path: link for link in links}
        fetcher = replace(self.fetcher, hosts=tuple(hosts))
        total = sum({entry.sha256: entry.size for entry in lacking}.values())
        done: dict[str, int] = {}
        for entry in lacking:
            link = known.get(entry.path)
            if link is None:
                raise NoFile(entry.path, "PKG-05", "it is neither in the package nor in links.json")
            if (link.size, link.sha256) != (entry.size, entry.sha256):
                raise NoFile(entry.path, "LNK-03", "links.json and the manifest list another size or sha256")
            if problem := address_problem(link.url, tuple(hosts)):
                raise NoFile(entry.path, "LNK-01", problem)
            if link.sha256 not in done:
                self._one(link, fetcher, sum(done.values()), total)
                done[link.sha256] = link.size

    def _one(self, link: Link, fetcher: Fetcher, before: int, total: int) -> None:
        target = self.cache.path(link.sha256)
        with self._place(target) as path:
            coming = _Coming(path, self.hold, lambda size: self._tell(before + size, total))
            try:
                _compared(coming, link, fetcher)
            except Unreachable as away:
                raise Fault("platform", "link-away", f"{link.path}: {away}", away=True) from None
            except Refused as refused:
                path.unlink()
                raise NoFile(link.path, refused.code, str(refused)) from None
            self.calls.put_file(self.job, link.sha256, path, self.hold)
            path.chmod(0o444)
            path.replace(target)
        self._tell(before + link.size, total)
        self.calls.progress(self.job, lines=[f"fetched {link.path} from {urlsplit(link.url).hostname}"])

    @contextlib.contextmanager
    def _place(self, target: Path) -> Iterator[Path]:
        """Where a file comes: what was begun of it; a place of its own where a worker that was paused holds that."""
        with contextlib.ExitStack() as held:
            for name in (self.job.submission, f"{self.job.id}-{self.job.fence}"):
                path = target.with_name(f"{target.name}.{name}.link")
                with disk_errors(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    lock = held.enter_context(path.open("a"))
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
            yield path

    def _tell(self, done: int, of: int) -> None:
        self.calls.progress(self.job, part=PART, done=done, of=of)


class _Coming:
    """A file on its way, which lies where it is to be complete."""

    def __init__(self, path: Path, hold: Callable[[], object], tell: Callable[[int], object]) -> None:
        self.path, self._hold, self._tell = path, hold, tell
        self._told = time.monotonic()

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Their digest."""
        return sha256_file(self.path, lambda _: self._hold())

    def take(self, at: int, chunk: bytes) -> None:
        """Keep bytes from a place on; what was there is no more."""
        self._hold()
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.truncate(at)
            file.seek(at)
            file.write(chunk)
        if time.monotonic() - self._told > _TELL:
            self._told = time.monotonic()
            self._tell(at + len(chunk))


def _compared(coming: _Coming, link: Link, fetcher: Fetcher) -> None:
    """Have a link's file whole, and see that it is the one that is listed.

    Raises:
        Refused: it is another, or none.
        Unreachable: its host gives nothing more.
    """
    begun = coming.size
    _come(coming, link, fetcher)
    if begun and coming.sha256() != link.sha256:  # what lies there may have changed since, to what is listed
        coming.take(0, b"")
        _come(coming, link, fetcher)
    if (came := coming.sha256()) != link.sha256:
        raise Refused("LNK-03", f"sha256 {came} came, listed is {link.sha256}")


def _come(coming: _Coming, link: Link, fetcher: Fetcher) -> None:
    """Read a link until the file has its size, from where it ended whenever its host breaks off."""
    most, waits = coming.size, iter(WAITS)
    while coming.size < link.size:
        away = None
        try:
            fetcher.read(link.url, link.size, coming.take, coming.size)
        except Unreachable as error:
            away = error
        if coming.size > most:
            most, waits = coming.size, iter(WAITS)
        elif away is None:  # it has no more
            break
        elif (wait := next(waits, None)) is not None:
            time.sleep(wait)
        else:
            raise away
    if coming.size != link.size:
        raise Refused("LNK-03", f"{coming.size:,} bytes came, listed are {link.size:,}")
