"""Files by their digests on the local disk: each stands there whole and verified, or not at all.

    ab/ab12…                    a whole file, which nothing writes to any more
    arriving/OWNER/ab12…        the bytes of one that is on its way
                  /ab12….kept   how many of them were verified and handed to the disk, as text

The disk alone says what is there: a file gets its final name after its digest was found right, and the number of bytes
kept is written after the bytes. Whatever is killed in between costs the bytes that were not yet kept.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Collection, Iterator
from hashlib import sha256 as new_sha256
from io import FileIO
from pathlib import Path

from edgelm.errors import NoSpace
from edgelm.files import read_bytes, sha256_bytes, sha256_file, write_bytes
from edgelm.server.refusals import Refused, TooMuch

_READ_ONLY = 0o444


class DiskFull(Refused):
    """The server has no room for it; what was kept before is still there."""

    status = 507


class Busy(Refused):
    """Another request writes to the same file."""

    status = 423


class Damaged(Refused):
    """What arrived is not what was sent; none of it is kept."""

    status = 460  # as the checksums of tus 1.0 have it


class Arriving:
    """A file on its way, which this object alone writes to. Bytes count once they are kept.

    Attributes:
        size: bytes that it will have.
        kept: bytes that were kept so far.
        at: bytes written, kept or not.
    """

    def __init__(self, file: FileIO, path: Path, target: Path, size: int) -> None:
        self._file, self._path, self._target = file, path, target
        self.size = size
        self.kept = self.at = _settle(file, path)
        self._part = new_sha256()

    def write(self, chunk: bytes) -> None:
        """Add bytes behind those written before.

        Raises:
            TooMuch: they would be more than the file's size.
            DiskFull: nothing that was not kept is left.
        """
        if self.at + len(chunk) > self.size:
            raise TooMuch(f"more than the {self.size:,} bytes that the manifest says", mend="run edgelm pack again")
        rest = memoryview(chunk)
        with self._disk():
            while rest:  # a disk that fills up takes a part without complaint, and refuses the rest
                rest = rest[self._file.write(rest) :]
        self._part.update(chunk)
        self.at += len(chunk)

    def keep(self, checksum: bytes | None = None) -> None:
        """Keep what was written since the last time; with its last byte the file becomes whole.

        Args:
            checksum: sha256 that the bytes since the last time must have, if it is known.

        Raises:
            Damaged: they have another, or the whole has another digest than its name. Of a whole nothing is kept then.
            DiskFull: nothing that was not kept before is left.
        """
        if checksum is not None and checksum != self._part.digest():
            self.drop()
            raise Damaged("a part of the upload arrived damaged", mend="send it again")
        with self._disk():
            os.fdatasync(self._file.fileno())
            if self.at < self.size:
                write_bytes(_kept(self._path), b"%d" % self.at)
        if self.at == self.size:
            self._finish()
        self.kept, self._part = self.at, new_sha256()

    def drop(self) -> None:
        """Forget what was written since bytes were last kept."""
        self._cut(self.kept)

    def _finish(self) -> None:
        if sha256_file(self._path) != self._target.name:
            self._cut(0)
            raise Damaged(
                f"the file that arrived is not {self._target.name[:12]}…",
                why="its bytes have another sha256 than the manifest says", mend="run edgelm pack again, and upload it",
                code="PKG-05",
            )  # fmt: skip
        with self._disk():
            _install(self._path, self._target)
        _kept(self._path).unlink(missing_ok=True)

    def _cut(self, size: int) -> None:
        if not _is_at(self._file, self._path):  # it has its final name, and is nobody's to change
            return
        if size == 0:
            _kept(self._path).unlink(missing_ok=True)
        self._file.truncate(size)
        self._file.seek(size)
        self.kept = self.at = size
        self._part = new_sha256()

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            with room():
                yield
        except DiskFull:
            self.drop()
            raise


class Storage:
    """The files of all packages and results, each once.

    Args:
        folder: where they lie, all of it on one file system.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._arriving = folder, folder / "arriving"

    def path(self, sha256: str) -> Path:
        """Where a file of that digest lies once it is whole."""
        return self.folder / sha256[:2] / sha256

    def holds(self, sha256: str) -> bool:
        """Whether it is there, whole."""
        return self.path(sha256).is_file()

    def size(self, sha256: str) -> int:
        """The bytes of a file that is there."""
        return self.path(sha256).stat().st_size

    def read(self, sha256: str, most: int) -> bytes:
        """All bytes of a file that is there.

        Raises:
            MissingInput: it is not.
            BadFile: it has more than `most`.
        """
        return read_bytes(self.path(sha256), most)

    def put(self, data: bytes) -> str:
        """Store bytes that are here already, and give their digest.

        Raises:
            DiskFull: they are not stored.
        """
        sha256 = sha256_bytes(data)
        if not self.holds(sha256):
            target = self.path(sha256)
            with room():
                target.parent.mkdir(parents=True, exist_ok=True)
                descriptor, name = tempfile.mkstemp(prefix=".", dir=target.parent)
                try:
                    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - it is open already
                        rest = memoryview(data)
                        while rest:
                            rest = rest[file.write(rest) :]
                        os.fsync(file.fileno())
                    _install(Path(name), target)
                except BaseException:
                    Path(name).unlink(missing_ok=True)
                    raise
        return sha256

    def take(self, path: Path) -> str:
        """Store a file that lies on the same file system, and give its digest; it is gone from where it was."""
        sha256 = sha256_file(path)
        with room():
            _install(path, self.path(sha256))
        return sha256

    def arrived(self, owner: str, sha256: str) -> int:
        """The bytes of a file on its way that are kept: what comes next begins there."""
        path = self._arriving / owner / sha256
        try:
            return min(path.stat().st_size, _number(_kept(path)))
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def arriving(self, owner: str, sha256: str, size: int) -> Iterator[Arriving]:
        """A file on its way, to be written to; what was not kept at the end of the block is forgotten.

        Args:
            owner: whose upload it is: what one sends wrongly harms no other.
            sha256: of the whole file.
            size: bytes of the whole file.

        Raises:
            Busy: another request writes to it.
        """
        path = self._arriving / owner / sha256
        with room():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets it go however the process ends
            except BlockingIOError:
                raise _busy(sha256) from None
            if not _is_at(file, path):  # it became whole between the two lines
                raise _busy(sha256)
            arriving = Arriving(file, path, self.path(sha256), size)
            yield arriving
            if arriving.at > arriving.kept:
                arriving.drop()

    def forget(self, owner: str, sha256: str) -> None:
        """Remove what has come of a file on its way.

        Raises:
            Busy: a request writes to it.
        """
        with self.arriving(owner, sha256, 0) as arriving:
            arriving.drop()
            (self._arriving / owner / sha256).unlink(missing_ok=True)
            _kept(self._arriving / owner / sha256).unlink(missing_ok=True)

    def sweep(self, wanted: Collection[tuple[str, str]], before: float) -> None:
        """Remove what has come of files that nobody waits for, and what killed processes left.

        Args:
            wanted: owners and digests that are waited for.
            before: seconds since 1970; what was written later is left.
        """
        for path in self._arriving.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                if (path.parent.name, path.name.removesuffix(".kept")) not in wanted and path.stat().st_mtime < before:
                    path.unlink()
        for path in self.folder.glob("??/.*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def free(self) -> int:
        """Bytes that the disk still takes."""
        place = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        status = os.statvfs(place)
        return status.f_bavail * status.f_frsize

    def all(self) -> Iterator[str]:
        """The digests of all whole files."""
        for path in self.folder.glob("??/*"):
            if not path.name.startswith("."):
                yield path.name


def _install(path: Path, target: Path) -> None:
    """Give a verified file its final name, for good."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    target.chmod(_READ_ONLY)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _settle(file: FileIO, path: Path) -> int:
    """Cut off what was written and not kept before a process was killed; the bytes that are kept."""
    size, kept = os.fstat(file.fileno()).st_size, _number(_kept(path))
    if kept > size:  # the number is an older file's
        kept = 0
    if kept == 0:
        _kept(path).unlink(missing_ok=True)
    file.truncate(kept)
    file.seek(kept)
    return kept


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.kept")


def _number(path: Path) -> int:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() else 0


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether that name still belongs to the open file."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _busy(sha256: str) -> Busy:
    return Busy(f"another request writes to {sha256[:12]}…", mend="ask for its offset again in a moment")


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Writing to the disk.

    Raises:
        DiskFull: it has no room.
    """
    try:
        yield
    except (OSError, NoSpace) as error:
        if isinstance(error, NoSpace) or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "the server's disk is full", why="nothing of this request was stored; what came before is kept",
                mend="tell the organisers, and go on later: the upload resumes",
            ) from error  # fmt: skip
        raise
