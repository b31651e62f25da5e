"""Tars from strangers, plain or compressed by Zstandard: read once, forwards, in bounded memory."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from edgelm.archives.entries import Entry
from edgelm.errors import Unsupported
from edgelm.files import CHUNK

try:
    from compression import zstd  # type: ignore[import-not-found]  # of Python 3.14
except ImportError:
    zstd = None
try:
    import zstandard  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

ERRORS = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError, KeyError, IndexError) + (
    (zstandard.ZstdError,) if zstandard else ()) + ((zstd.ZstdError,) if zstd else ())  # fmt: skip
MAGIC_ZSTD = b"\x28\xb5\x2f\xfd"
BLOCK = 512
_HEADER = 64 << 10  # bytes of all headers of one entry
_WINDOW = 27  # log2 of the bytes that decompression may keep
Walk = Iterator[tuple[Entry, Callable[[], IO[bytes]]]]


def is_tar(head: bytes) -> bool:
    """Whether a file's first block is a header of a tar."""
    return head[257:262] == b"ustar"


@contextlib.contextmanager
def opened(path: Path, most: int, limit: int, *, compressed: bool) -> Iterator[Walk]:
    """The entries of a tar, each with what opens it, until the next one is asked for.

    At most `most` entries and `limit` unpacked bytes are read.

    Raises:
        Unsupported: nothing is installed that decompresses it.
        tarfile.TarError, ValueError: it is damaged, or larger than allowed.
    """
    with path.open("rb") as file:
        source = _Forwards(_decompressed(file) if compressed else file, limit)
        with tarfile.TarFile(fileobj=source, mode="r", encoding="utf-8", errors="surrogateescape") as archive:
            yield _walk(archive, source, most)


def _walk(archive: tarfile.TarFile, source: _Forwards, most: int) -> Walk:
    count = 0
    while (member := _next(archive, source)) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # they would fill the memory
        count += 1
        if count > most:
            raise tarfile.TarError(f"it has more than {most:,} entries")
        is_plain = (member.isreg() and not member.issparse()) or member.isdir()
        name = member.name + "/" * member.isdir()
        yield Entry(name, member.size, member.isdir(), is_plain), lambda member=member: _content(archive, member)  # type: ignore[misc]
    if source.block != bytes(BLOCK):
        raise tarfile.TarError("it is cut short, or a header is damaged")
    while chunk := source.read(CHUNK):
        if chunk.strip(b"\0"):
            raise tarfile.TarError("there are bytes behind its end")


def _next(archive: tarfile.TarFile, source: _Forwards) -> tarfile.TarInfo | None:
    """The next entry, read within the limit for headers."""
    source.headers_left = _HEADER
    member = archive.next()
    source.headers_left = None
    if archive.pax_headers:
        raise tarfile.TarError("it has a header for all entries behind it, which may rename them")
    return member


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None, "only plain files are opened"
    return content


def _decompressed(file: IO[bytes]) -> Any:
    """A reader of what a Zstandard file holds.

    Raises:
        Unsupported: neither Python nor a package can.
    """
    if zstd is not None:
        return zstd.ZstdFile(file, options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    if zstandard is not None:
        return zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW).stream_reader(file, read_across_frames=True)
    raise Unsupported("a .tar.zst needs the package 'zstandard' or Python 3.14", why="neither is installed",
                      mend="pip install zstandard, or pack a .zip or .tar")  # fmt: skip


class _Forwards(io.RawIOBase):
    """A file read from front to back within a limit. Headers that ask for much memory at once are refused."""

    def __init__(self, origin: Any, limit: int) -> None:
        self._origin, self._limit = origin, limit
        self._at = 0
        self.block = b""  # the last block of a header's size that was read
        self.headers_left: int | None = _HEADER  # bytes that headers may still have; None while content is read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK:
            raise ValueError(f"a header asks for {size:,} bytes at once")
        if self.headers_left is not None:
            self.headers_left -= size
            if self.headers_left < 0:
                raise ValueError(f"an entry has more than {_HEADER:,} bytes of headers")
        data = self._taken(size)
        if size == BLOCK:
            self.block = data
        return data

    def _taken(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self._origin.read(size - len(data))):
            data += more
        self._at += len(data)
        if self._at > self._limit:
            raise ValueError(f"it unpacks to more than {self._limit:,} bytes")
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        if whence or place < self._at:
            raise ValueError("its headers lead backwards")
        while self._at < place and self._taken(min(CHUNK, place - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
