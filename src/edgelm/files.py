"""Files that survive a kill: digests, write-then-rename, JSON lines with checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from edgelm.errors import BadFile, BadOption, MissingInput, NoSpace

CHUNK = 1 << 20  # bytes read at a time
MAX_RECORD = 64 << 20  # bytes of a JSON file that is read whole


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


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of equal ones, one reader takes the first and another the last."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice[:80]!r} comes twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is larger than any number that is kept")
    return value


def parse_json(text: str | bytes, where: object) -> Any:
    """The value of a JSON text; `where` names it in the error. NaN, what is infinite, and half characters are refused.

    Raises:
        BadFile: not UTF-8 or not JSON, with line and column.
    """
    try:
        return _loaded(text)
    except UnicodeDecodeError as error:
        raise BadFile(f"{where} is not UTF-8 text", why=str(error), mend="save it as UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadFile(f"{where} is not valid JSON", why=f"{error.msg} at {place}", mend="mend or remake it") from None
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{where} is not valid JSON", why=str(error), mend="mend or remake it") from None


def _loaded(text: str | bytes) -> Any:
    """The value of a JSON text, which can be written again.

    Raises:
        ValueError: there is none. Half of a surrogate pair, which JSON can spell, is no text and no file can hold it.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant, parse_float=_finite)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def read_json(path: Path, most: int = MAX_RECORD) -> Any:
    """The value in a JSON file of at most so many bytes (see `parse_json`, `read_bytes`)."""
    return parse_json(read_bytes(path, most), path)


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """All bytes of a file.

    Raises:
        MissingInput: there is none.
        BadFile: it cannot be read, has more than `most` bytes, or is no plain file (a pipe or device may never end).
    """
    with opened(path, most) as file:
        return file.read()


@contextlib.contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[IO[bytes]]:
    """A file to read from, within the limits and with the errors of `read_bytes`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not path.is_dir():
            raise BadFile(f"{path} is no plain file", why="pipes and devices are not read", mend="give a plain file")
        if most is not None and status.st_size > most:
            raise BadFile(
                f"{path} is too large", why=f"{status.st_size:,} bytes, {most:,} are read", mend="check the path"
            )
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise MissingInput(f"there is no file {path}", mend="check the path") from None
    except OSError as error:
        raise BadFile(f"{path} cannot be read", why=error.strerror or str(error), mend="check the path") from None


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into errors with a mend.

    What is wrong with the temporary name of an output (see `write_bytes`, `new_folder`) is wrong with the output.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"no space left while writing {where}", mend="free some space or choose another disk, then run it again"
            ) from error
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        below = Path(os.path.relpath(named or where, where.parent)).parts or (".",)
        is_temporary = below[0].startswith(f".{where.name}.")
        is_output = named and len(below) == 1 and (is_temporary or below[0] == where.name)  # not what it holds
        if is_output or error.errno in _REFUSALS:
            what = f"{where if is_temporary or not named else named} cannot be used"
            mend = "check its permissions, or choose another"
            raise BadOption(what, why=error.strerror or "", mend=mend) from error
        raise


_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def make_parent(path: Path) -> None:
    """Make the folder that a file or folder will stand in.

    Raises:
        BadOption: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"the folder {path.parent} cannot be made: {error.strerror}"
        raise BadOption(f"{path} cannot be written", why=why, mend="choose another folder") from None


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a whole file: under another name first, flushed, then renamed, so that no reader sees half of it."""
    make_parent(path)
    with disk_errors(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
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


# JSON lines that survive a kill


class JsonLog:
    """An append-only file of JSON lines, each with a checksum; a line torn by a kill is dropped when it is read.

    A line is `{crc32 in hexadecimal} {canonical JSON}`, written by one `write` to a file opened for appending. What is
    written survives the end of the process at once, and a failure of power once it was handed to the disk: after every
    `SYNC_ROWS` rows or `SYNC_SECONDS`, and when the log is closed. Doing that for each row costs milliseconds.
    """

    SYNC_ROWS, SYNC_SECONDS = 64, 1.0
    LONGEST = 16 << 20  # bytes of a line that is read

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._unsynced, self._synced = 0, time.monotonic()  # rows since the last time, and when that was

    def read(self, *, repair: bool = True, say: Callable[[str], object] = lambda text: None) -> list[dict[str, Any]]:
        """All rows written whole, in order; a torn last line is left out, and to `repair`, cut off the file, and said.

        Raises:
            BadFile: a line before the last is damaged.
        """
        found = list(self.each())
        good = found[-1][1] if found else 0
        if repair and self.path.exists() and good < self.path.stat().st_size:
            self._cut(good, say)
        return [row for row, _ in found]

    def each(self, most: int | None = None, most_lines: int | None = None) -> Iterator[tuple[dict[str, Any], int]]:
        """The rows written whole, one by one, each with the place in the file where it ends; none is kept here.

        Raises:
            BadFile: a line before a whole one is damaged, or there are more than `most` bytes or lines.
        """
        if self.path.exists():
            with opened(self.path, most) as file:
                yield from self.rows(file, self.path, most_lines)

    @classmethod
    def rows(
        cls, file: IO[bytes], where: object, most_lines: int | None = None
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """The same of an open file, which errors call `where`."""
        damaged = end = 0
        for number, line in enumerate(iter(lambda: file.readline(cls.LONGEST + 1), b""), start=1):
            if len(line) > cls.LONGEST or number > (most_lines or number):
                why = f"line {number:,} is too long, or one too many"
                raise BadFile(f"{where} is too large", why=why, mend="check the path")
            row = _checked(line[:-1]) if line.endswith(b"\n") else None
            if row is None:
                damaged = damaged or number
            elif damaged:
                raise BadFile(f"line {damaged} of {where} is damaged", mend="remove the line, then run again")
            else:
                end += len(line)
                yield row, end

    def _cut(self, good: int, say: Callable[[str], object]) -> None:
        """Cut off what follows the last whole row."""
        size = self.path.stat().st_size
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.seek(good)
            torn = sum(line != b"\n" for line in file)
            file.truncate(good)
        counted = "a torn line" if torn == 1 else f"{torn:,} torn lines"
        say(f"{self.path} ended in {counted}: {size - good:,} bytes are cut off")

    @staticmethod
    def line(row: Mapping[str, Any]) -> bytes:
        """One row as it stands in the file."""
        body = canonical_json(dict(row))
        return b"%08x %s\n" % (zlib.crc32(body), body)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows in one write, and hand them to the disk if it is time."""
        lines = [self.line(row) for row in rows]
        text = memoryview(b"".join(lines))
        make_parent(self.path)
        with disk_errors(self.path):
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            while text:  # a disk that fills up takes a part without complaint, and refuses the rest
                text = text[self._file.write(text) :]
        self._unsynced += len(lines)
        if self._unsynced >= self.SYNC_ROWS or time.monotonic() - self._synced >= self.SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Hand everything written to the disk."""
        if self._file is not None and self._unsynced:
            with disk_errors(self.path):
                os.fdatasync(self._file.fileno())
        self._unsynced, self._synced = 0, time.monotonic()

    def __enter__(self) -> JsonLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            try:
                self.sync()
            finally:
                self._file.close()
                self._file = None


def _checked(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        row = _loaded(body)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
