"""Archives: ours, the same bytes for the same files; a stranger's, unpacked within limits to plain files or refused."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from edgelm.errors import BadFile, MissingInput
from edgelm.files import CHUNK, disk_errors, tree_files

# What `zipfile` and its decompressors raise over damaged bytes, and the system over a file where a folder should be.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, OSError,
)  # fmt: skip


STORED = (".safetensors", ".gguf", ".bin", ".apk")  # gain nothing from deflation


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


def unzip(path: Path, folder: Path, *, max_bytes: int, max_entries: int = 100_000) -> None:
    """Unpack a zip from a stranger: plain files below `folder` only, within limits kept while unpacking.

    Raises:
        BadFile: not a zip; an absolute, climbing, duplicate or linked entry; more entries or bytes than allowed.
    """
    budget = max_bytes
    with _opened(path) as archive:
        for entry in _safe_entries(path, archive, max_entries):
            if not entry.is_dir():
                target = folder.joinpath(*entry.filename.split("/"))
                budget = _extract(archive, entry, target, budget, path)


def read_entry(path: Path, name: str, *, most: int, max_entries: int = 100_000) -> bytes:
    """The bytes of one file in a zip from a stranger; nothing is unpacked, nothing else read.

    Raises:
        MissingInput: there is no such entry.
        BadFile: it has more than `most` bytes, or the zip is one that `unzip` would not unpack.
    """
    with _opened(path) as archive:
        found = [entry for entry in _safe_entries(path, archive, max_entries) if entry.filename == name]
        if not found:
            raise MissingInput(f"there is no file {path / name}", mend="check the path")
        with archive.open(found[0]) as source:
            data = source.read(most + 1)
    if len(data) > most:
        raise BadFile(f"{path / name} has more than {most:,} bytes", mend="remove what is not asked for")
    return data


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The open archive; what goes wrong in it while the block runs is the archive's fault."""
    if not path.exists():
        raise MissingInput(f"there is no file {path}", mend="check the path")
    try:
        if not path.is_file():
            raise zipfile.BadZipFile("it is no plain file")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _ZIP_ERRORS as error:
        raise BadFile(f"{path} is not a readable zip", why=str(error), mend="pack it again: edgelm pack") from None


def entry_problem(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    """Why an entry is not safe to unpack beside those `seen` so far (which it joins); empty if it is."""
    parts = entry.filename.rstrip("/").split("/")
    name = entry.filename.rstrip("/").casefold()
    if not {"", ".", ".."}.isdisjoint(parts) or "\\" in entry.filename or ":" in parts[0]:
        return "leaves the folder"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    folders = {"/".join(parts[:depth]).casefold() + "/" for depth in range(1, len(parts) + entry.is_dir())}
    if name in seen and not entry.is_dir():
        return "comes twice"
    if any(folder[:-1] in seen for folder in folders) or (f"{name}/" in seen and not entry.is_dir()):
        return "is both a file and a folder"
    seen |= folders if entry.is_dir() else folders | {name}
    return ""


def _safe_entries(path: Path, archive: zipfile.ZipFile, most: int) -> list[zipfile.ZipInfo]:
    """All entries, found safe to unpack beside each other.

    Raises:
        BadFile: one is not, or there are more than `most`.
    """
    entries = archive.infolist()
    if len(entries) > most:
        raise BadFile(f"{path} has {len(entries)} entries", why=f"at most {most} are allowed")
    seen: set[str] = set()
    for entry in entries:
        if problem := entry_problem(entry, seen):
            raise BadFile(f"{path}: entry '{entry.filename}' {problem}", mend="pack from plain files: edgelm pack")
    return entries


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: int, path: Path) -> int:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as sink:
            while chunk := source.read(CHUNK):
                budget -= len(chunk)
                if budget < 0:
                    raise BadFile(f"{path} unpacks to more than is allowed", mend="remove what is not asked for")
                sink.write(chunk)
    return budget
