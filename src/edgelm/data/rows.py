"""Files of training text as streams: JSON lines, JSON lists, parquet and plain text, each also gzipped.

JSON lines, parquet and plain text of any size take constant memory; a JSON list is read whole.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from edgelm.data.documents import END, FIELDS
from edgelm.errors import BadFile, MissingInput, MissingPackage
from edgelm.files import CHUNK, parse_json

JSON = (".json", ".jsonl")
PARQUET = ".parquet"
TEXT = (".txt", ".utf8")
READ = (*JSON, PARQUET, *TEXT)  # endings of what can be read, before a `.gz`
LONGEST = 1 << 16  # characters of a document of plain text; longer ones are cut at a line or word
_MEND = "fetch it again"
_TEXT_MEND = "give text in UTF-8, or rows in .json, .jsonl or .parquet"
_PARQUET_ROWS = 256  # rows at a time


def unzipped_name(name: str) -> str:
    """The name of a file without `.gz`."""
    return name.removesuffix(".gz")


@contextlib.contextmanager
def opened(path: Path, seen: Callable[[Any], object] | None = None) -> Iterator[BinaryIO]:
    """A file's bytes as a stream, uncompressed if it is called .gz; `seen` is shown them as they are read.

    Raises:
        MissingInput: there is no such file.
        BadFile: it cannot be read, or is no sound gzip file (also while it is read).
    """
    zipped = path.suffix == ".gz"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadFile(f"{path} is no plain file", mend="give a plain file")
        with gzip.open(path) if zipped else path.open("rb") as file:
            yield cast(BinaryIO, io.BufferedReader(_Seen(cast(BinaryIO, file), seen), CHUNK) if seen else file)
    except FileNotFoundError:
        raise MissingInput(f"there is no file {path}", mend="check the path") from None
    except (OSError, EOFError, zlib.error) as error:
        what = f"{path} is no sound gzip file" if zipped else f"{path} cannot be read"
        raise BadFile(what, why=getattr(error, "strerror", None) or str(error), mend=_MEND) from None


class _Seen(io.RawIOBase):
    """A stream that shows somebody the bytes that pass."""

    def __init__(self, file: BinaryIO, seen: Callable[[Any], object]) -> None:
        self._file, self._seen = file, seen

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = cast(Any, self._file).readinto(buffer) or 0
        self._seen(memoryview(buffer)[:count])
        return count


def rows(stream: BinaryIO, path: Path, columns: Sequence[str] = ()) -> Iterator[tuple[Any, str]]:
    """Every row of a JSON or parquet file and where it is; of parquet the fields of documents and `columns` alone.

    Raises:
        BadFile: a row is no JSON, or the file no parquet.
        MissingPackage: parquet cannot be read here.
    """
    if unzipped_name(path.name).endswith(PARQUET):
        yield from _parquet(stream, path, columns)
        return
    before: bytes | None = b""  # blank lines at the beginning, until there is a row
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            before = before if before is None else before + line
            continue
        if before is not None and line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
            for item, row in enumerate(parse_json(before + line + stream.read(), path), start=1):
                yield row, f"row {item} of {path}"
            return
        before = None
        where = f"line {number} of {path}"
        yield parse_json(line, where), where


def first_row(path: Path) -> Any:
    """The first row of a JSON or parquet file, found without reading the rest of it.

    None if there is none, or it is damaged; a JSON file that is one object counts as a row.
    """
    with opened(path) as stream:
        if unzipped_name(path.name).endswith(PARQUET):
            return next((row for row, _ in rows(stream, path)), None)
        start = stream.read(CHUNK).decode("utf-8-sig", "replace").lstrip().removeprefix("[").lstrip()
    try:
        return json.JSONDecoder().raw_decode(start)[0]
    except (ValueError, RecursionError):
        return None


def texts(stream: BinaryIO, path: Path, longest: int = LONGEST) -> Iterator[str]:
    """The documents of a plain text: what stands between `<|endoftext|>`, in pieces of at most `longest` characters.

    Raises:
        BadFile: it is no UTF-8, with the line.
    """
    decoder, held, lines = codecs.getincrementaldecoder("utf-8-sig")(), "", 1
    while True:
        block = stream.read(CHUNK)
        try:
            held += decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n")
            raise BadFile(f"line {line} of {path} is no text", why=str(error), mend=_TEXT_MEND) from None
        lines += block.count(b"\n")
        whole, mark, rest = held.rpartition(END)
        for text in whole.split(END) if mark else ():
            yield from _pieces(text, longest)
        held = rest
        while len(held) > longest + len(END) or (held and not block):
            piece, held = _cut(held, longest)
            if piece.strip():
                yield piece.strip()
        if not block:
            return


def _pieces(text: str, longest: int) -> Iterator[str]:
    while text:
        piece, text = _cut(text, longest)
        if piece.strip():
            yield piece.strip()


def _cut(text: str, longest: int) -> tuple[str, str]:
    """The beginning of a text up to the last line break, or else space, that fits; and the rest."""
    if len(text) <= longest:
        return text, ""
    at = max(text.rfind("\n", 1, longest), 0) or max(text.rfind(" ", 1, longest), 0) or longest
    return text[:at], text[at:]


def _parquet(stream: BinaryIO, path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, str]]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise MissingPackage("pyarrow", "model") from None
    try:
        with _seekable(stream) as whole:
            file = pyarrow.parquet.ParquetFile(whole, buffer_size=CHUNK, pre_buffer=False)
            names = file.schema_arrow.names
            wanted = [name for name in names if name in FIELDS or name in columns]
            number = 0
            for batch in file.iter_batches(_PARQUET_ROWS, columns=wanted or names):
                for row in batch.to_pylist():
                    number += 1
                    yield row, f"row {number} of {path}"
    except (pyarrow.ArrowException, OSError) as error:
        raise BadFile(f"{path} is no sound parquet file", why=str(error), mend=_MEND) from None


@contextlib.contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """A stream that can be read from its end: itself, or a copy on the disk of one that is being unzipped."""
    if isinstance(stream, io.BytesIO) or (isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO)):
        yield cast(BinaryIO, stream)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy, CHUNK)
        copy.seek(0)
        yield cast(BinaryIO, copy)
