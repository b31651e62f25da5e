"""Files that survive a kill: digests, write-then-rename, JSON lines with checksums, archives opened safely."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import lzma
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgelm.errors import BadFile, BadOption, MissingInput, NoSpace

CHUNK = 1 << 20  # bytes read at a time


# Digests

def sha256_bytes(data: bytes) -> str:
    """The sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path, progress: Callable[[int], object] | None = None) -> str:
    """The sha256 of a file's bytes; `progress` is told the number of bytes after each chunk."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()


def tree_files(folder: Path, *, links: bool = False) -> list[str]:
    """Relative POSIX paths of all files below `folder`, sorted bytewise; links to files count only if `links`."""
    paths = (p for p in folder.rglob("*") if p.is_file() and (links or not p.is_symlink()))
    found = [p.relative_to(folder).as_posix() for p in paths]
    return sorted(found, key=os.fsencode)


# JSON

def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes. NaN and infinities are refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def parse_json(text: str | bytes, where: object) -> Any:
    """The value of a JSON text; `where` names it in the error. NaN and Infinity are refused.

    Raises:
        BadFile: not UTF-8 or not JSON, with line and column.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadFile(f"{where} is not UTF-8 text", why=str(error), mend="save it as UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadFile(f"{where} is not valid JSON", why=f"{error.msg} at {place}", mend="mend or remake it") from None
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{where} is not valid JSON", why=str(error), mend="mend or remake it") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file (see `parse_json`)."""
    return parse_json(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, with an error that names it when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingInput(f"there is no file {path}", mend="check the path") from None
    except OSError as error:
        raise BadFile(f"{path} cannot be read", why=error.strerror or str(error), mend="check the path") from None


# Writing

@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into errors with a mend."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"no space left while writing {where}", mend="free some space or choose another disk, then run it again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
            why = error.strerror or ""
            raise BadOption(f"{where} cannot be written", why=why, mend="choose another folder") from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file: under another name first, flushed, then renamed, so that no reader sees half of it."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write a value as indented, key-sorted JSON for people and programs (see `write_bytes`)."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears whole or not at all.

    Yields a temporary folder beside `path`; it takes the name `path` when the block ends well and is removed otherwise.

    Raises:
        BadOption: `path` exists already and is not an empty folder.
        NoSpace: the disk is full.
    """
    require_fresh(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
        partial.chmod(0o755)
        try:
            yield partial
            if path.is_dir():
                path.rmdir()
            partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def require_fresh(path: Path) -> None:
    """Refuse an output path that would overwrite something."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise BadOption(f"{path} exists already", mend="choose another -o, or remove it first")


# JSON lines that survive a kill

class JsonLog:
    """An append-only file of JSON lines, each with a checksum; a line torn by a kill is dropped when it is read.

    A line is `{crc32 in hexadecimal} {canonical JSON}`, written by one `write` to a file opened for appending.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def read(self, *, repair: bool = True) -> list[dict[str, Any]]:
        """All rows written whole, in order; a torn last line is left out, and to `repair`, cut off the file.

        Raises:
            BadFile: a line before the last is damaged.
        """
        if not self.path.exists():
            return []
        data = read_bytes(self.path)
        lines = data.split(b"\n")
        rows, good = [], 0
        for number, line in enumerate(lines[:-1], start=1):
            row = _checked(line)
            if row is None:
                if any(_checked(later) is not None for later in lines[number:-1]):
                    raise BadFile(f"line {number} of {self.path} is damaged", mend="remove the line, then run again")
                break
            rows.append(row)
            good += len(line) + 1
        if repair and good < len(data):
            with disk_errors(self.path):
                os.truncate(self.path, good)
        return rows

    @staticmethod
    def line(row: Mapping[str, Any]) -> bytes:
        """One row as it stands in the file."""
        body = canonical_json(dict(row))
        return b"%08x %s\n" % (zlib.crc32(body), body)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows in one write, and hand them to the disk."""
        text = memoryview(b"".join(self.line(row) for row in rows))
        with disk_errors(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab", buffering=0)
            while text:  # a disk that fills up takes a part without complaint, and refuses the rest
                text = text[self._file.write(text) :]
            os.fdatasync(self._file.fileno())

    def __enter__(self) -> JsonLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _checked(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        row = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


# Archives

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
