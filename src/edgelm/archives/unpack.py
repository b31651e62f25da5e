"""A stranger's archive of any known kind: unpacked within limits to plain files, or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from edgelm.archives import tars, zips
from edgelm.archives.entries import Entry, entry_problem, shown
from edgelm.errors import BadFile, MissingInput
from edgelm.files import CHUNK, disk_errors

MAX_RATIO = 100  # unpacked to packed
SMALL = 64 << 20  # bytes: what unpacks to less is harmless at any ratio
MAX_ENTRIES = 100_000
_PACK = "pack it again: edgelm pack"
_REMOVE = "remove what is not asked for"


def unpack(
    path: Path,
    folder: Path,
    *,
    max_bytes: int,
    max_entries: int = MAX_ENTRIES,
    only: Callable[[str], object] = lambda name: True,
) -> None:
    """Unpack an archive from a stranger: plain files below `folder` only, within limits kept while unpacking.

    All entries are judged, and the files written whose names `only` takes.

    Raises:
        BadFile: no known archive; an absolute, climbing, duplicate or linked entry; more entries or bytes than allowed.
    """
    seen: set[str] = set()
    with opened(path, max_bytes, max_entries) as walk:
        budget = _limit(path, max_bytes)
        for entry, content in walk:
            _require_safe(path, entry, seen)
            if entry.is_folder or not only(entry.name):
                continue
            target = folder.joinpath(*entry.parts)
            with disk_errors(target), _named(path, entry):
                target.parent.mkdir(parents=True, exist_ok=True)
                with content() as source, target.open("xb") as sink:
                    while chunk := source.read(CHUNK):
                        budget -= len(chunk)
                        if budget < 0:
                            raise BadFile(f"{path} unpacks to more than is allowed", mend=_REMOVE)
                        sink.write(chunk)


def read_entry(path: Path, name: str, *, most: int, max_entries: int = MAX_ENTRIES) -> bytes:
    """The bytes of one file in an archive from a stranger; nothing is unpacked, nothing else kept.

    Raises:
        MissingInput: there is no such entry.
        BadFile: it has more than `most` bytes, or the archive is one that `unpack` would not unpack.
    """
    data: bytes | None = None
    seen: set[str] = set()
    with opened(path, 1 << 62, max_entries) as walk:
        for entry, content in walk:
            _require_safe(path, entry, seen)
            if entry.name == name:
                with _named(path, entry), content() as source:
                    data = b"".join(iter(lambda: source.read(CHUNK), b"")) if entry.size <= most else b""
                if entry.size > most:
                    raise BadFile(f"{path / name} has more than {most:,} bytes", mend=_REMOVE)
    if data is None:
        raise MissingInput(f"there is no file {path / name}", mend="check the path")
    return data


def entries(path: Path, *, max_bytes: int, max_entries: int = MAX_ENTRIES) -> Iterator[Entry]:
    """What an archive says that it holds, safe or not.

    Raises:
        BadFile: it is no readable archive, or has more entries or bytes than allowed.
    """
    with opened(path, max_bytes, max_entries) as walk:
        for entry, _ in walk:
            yield entry


@contextlib.contextmanager
def opened(path: Path, max_bytes: int, max_entries: int) -> Iterator[zips.Walk]:
    """The entries of an archive, of the kind that its first bytes tell; what is wrong in it is the archive's fault."""
    if not path.exists():
        raise MissingInput(f"there is no file {path}", mend="check the path")
    if not path.is_file():
        raise BadFile(f"{path} is not a readable zip or tar", why="it is no plain file", mend=_PACK)
    try:
        with path.open("rb") as file:
            head = file.read(tars.BLOCK)
        if head.startswith(zips.MAGIC):
            with zips.opened(path, max_entries) as walk:
                yield _from_here(walk)
        elif (compressed := head.startswith(tars.MAGIC_ZSTD)) or tars.is_tar(head):
            with tars.opened(path, max_entries, _limit(path, max_bytes), compressed=compressed) as walk:
                yield _from_here(walk)
        else:
            why = "it is neither .zip, .tar nor .tar.zst"
            raise BadFile(f"{path} is not a readable zip or tar", why=why, mend=_PACK)
    except (*zips.ERRORS, *tars.ERRORS, OSError) as error:
        raise BadFile(f"{path} is not a readable zip or tar", why=str(error), mend=_PACK) from None


def _from_here(walk: zips.Walk) -> zips.Walk:
    """The entries of `tar -cf FILE.tar .`, whose names begin with `./`, by the names of their paths."""
    for entry, content in walk:
        if entry != Entry("./", 0, is_folder=True):
            yield replace(entry, name=entry.name.removeprefix("./")), content


def _limit(path: Path, max_bytes: int) -> int:
    """How many bytes an archive of its size may unpack to, headers included."""
    return min(max_bytes, max(SMALL, MAX_RATIO * path.stat().st_size))


def _require_safe(path: Path, entry: Entry, seen: set[str]) -> None:
    if problem := entry_problem(entry, seen):
        raise BadFile(f"{path}: entry '{shown(entry.name)}' {problem}", mend="pack from plain files: edgelm pack")


@contextlib.contextmanager
def _named(path: Path, entry: Entry) -> Iterator[None]:
    """Name the entry whose bytes are damaged."""
    try:
        yield
    except (*zips.ERRORS, *tars.ERRORS) as error:
        why = f"entry '{shown(entry.name)}': {error}"
        raise BadFile(f"{path} is not a readable zip or tar", why=why, mend=_PACK) from None
