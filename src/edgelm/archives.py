"""Archives from strangers: unpacked to plain files below one folder, within limits, or refused."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from edgelm.errors import BadFile, MissingInput
from edgelm.files import CHUNK, disk_errors

# What `zipfile` and its decompressors raise over damaged bytes, and the system over a file where a folder should be.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, OSError,
)  # fmt: skip


def unzip(archive: Path, folder: Path, *, max_bytes: int, max_entries: int = 100_000) -> None:
    """Unpack a zip from a stranger: plain files below `folder` only, within limits kept while unpacking.

    Raises:
        BadFile: not a zip; an absolute, climbing, duplicate or linked entry; more entries or bytes than allowed.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = bundle.infolist()
            if len(entries) > max_entries:
                raise BadFile(f"{archive} has {len(entries)} entries", why=f"at most {max_entries} are allowed")
            seen: set[str] = set()
            budget = max_bytes
            for entry in entries:
                target = _safe_target(archive, entry, folder, seen)
                if not entry.is_dir():
                    budget = _extract(bundle, entry, target, budget, archive)
    except FileNotFoundError:
        raise MissingInput(f"there is no file {archive}", mend="check the path") from None
    except _ZIP_ERRORS as error:
        raise BadFile(f"{archive} is not a readable zip", why=str(error), mend="pack it again: edgelm pack") from None


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


def _safe_target(archive: Path, entry: zipfile.ZipInfo, folder: Path, seen: set[str]) -> Path:
    problem = entry_problem(entry, seen)
    if problem:
        raise BadFile(f"{archive}: entry '{entry.filename}' {problem}", mend="pack from plain files: edgelm pack")
    return folder.joinpath(*entry.filename.rstrip("/").split("/"))


def _extract(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: int, archive: Path) -> int:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(entry) as source, target.open("xb") as sink:
            while chunk := source.read(CHUNK):
                budget -= len(chunk)
                if budget < 0:
                    raise BadFile(f"{archive} unpacks to more than is allowed", mend="remove what is not asked for")
                sink.write(chunk)
    return budget
