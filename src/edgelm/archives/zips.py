"""Zips: ours, the same bytes for the same files; and what a stranger's holds."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from edgelm.archives.entries import Entry, shown
from edgelm.files import CHUNK, tree_files

# What `zipfile` and its decompressors raise over damaged bytes.
ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError,
)  # fmt: skip
STORED = (".safetensors", ".gguf", ".bin", ".apk")  # gain nothing from deflation
MAGIC = b"PK"
_DIRECTORY = 64 << 20  # bytes of a directory that are read
_END, _END_64, _LOCATOR, _ENTRY = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
Walk = Iterator[tuple[Entry, Callable[[], IO[bytes]]]]


def zip_tree(folder: Path, path: Path) -> None:
    """Zip all plain files below `folder` as `path`: the same files give the same bytes."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name in tree_files(folder):
            entry = zipfile.ZipInfo(name)  # its date is fixed
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(STORED) else zipfile.ZIP_DEFLATED
            entry.file_size = (folder / name).stat().st_size  # lets zipfile choose the 64-bit form
            with (folder / name).open("rb") as origin, archive.open(entry, "w") as sink:
                shutil.copyfileobj(origin, sink, CHUNK)


@contextlib.contextmanager
def opened(path: Path, most: int) -> Iterator[Walk]:
    """The entries of a zip, each with what opens it.

    Raises:
        zipfile.BadZipFile: it is damaged, or has more than `most` entries (found before they are read).
    """
    _require_plain_directory(path, most)
    with zipfile.ZipFile(path) as archive:
        yield _walk(archive)


def _walk(archive: zipfile.ZipFile) -> Walk:
    _require_apart(archive)
    for info in archive.infolist():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others are unpacked without a limit
            raise zipfile.BadZipFile(f"entry '{shown(info.orig_filename)}' is compressed otherwise than by deflation")
        is_plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        # Names end at a NUL for zipfile; what the archive says must be what is judged.
        yield Entry(info.orig_filename, info.file_size, info.is_dir(), is_plain), lambda info=info: archive.open(info)  # type: ignore[misc]


def _require_plain_directory(path: Path, most: int) -> None:
    """Refuse a zip whose directory is too large to be read, or that has bytes before, behind or between its parts."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - 22 - 0xFFFF)
        file.seek(start)
        tail = file.read()
        end = tail.rfind(_END)
        if end < 0 or len(tail) - end < 22:
            raise zipfile.BadZipFile("it has no directory")
        length, offset, comment = struct.unpack_from("<IIH", tail, end + 12)
        stop = start + end
        if stop + 22 + comment != size:
            raise zipfile.BadZipFile("there are bytes behind its end")
        if tail[max(0, end - 20) : end].startswith(_LOCATOR):
            stop = struct.unpack_from("<Q", tail, end - 12)[0]
            file.seek(stop)
            record = file.read(56)
            if len(record) < 56 or not record.startswith(_END_64):
                raise zipfile.BadZipFile("its 64-bit directory is not where it should be")
            if stop + 56 + 20 != start + end:
                raise zipfile.BadZipFile("there are bytes between its 64-bit directory and its end")
            length, offset = struct.unpack_from("<QQ", record, 40)
        if offset + length != stop:
            raise zipfile.BadZipFile("there are bytes before its beginning, or its directory lies elsewhere")
        file.seek(offset)
        entries = file.read(length).count(_ENTRY) if length <= _DIRECTORY else most + 1
    if entries > most:
        raise zipfile.BadZipFile(f"it has {entries:,} entries or more, at most {most:,} are allowed")


def _require_apart(archive: zipfile.ZipFile) -> None:
    """Refuse entries that share bytes: a few kilobytes could unpack to petabytes so."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise zipfile.BadZipFile(f"entry '{shown(info.filename)}' overlaps another")
        end = info.header_offset + 30 + info.compress_size
