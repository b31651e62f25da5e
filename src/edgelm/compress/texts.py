"""Text to calibrate on: documents from files, from a data folder, or the short text that comes with the package."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgelm.chat import Turn
from edgelm.data.folder import DataFolder
from edgelm.data.sources import sources
from edgelm.errors import BadFile
from edgelm.files import parse_json, read_bytes, sha256_bytes

Document = str | tuple[Turn, ...]  # plain text, or a conversation for the model's chat template
END = "<|endoftext|>"  # between the documents of a plain text file
TRAINING_FILES = (
    "c4/llamafactory/c4_demo.jsonl",
    "c4/miniature.jsonl",
    "alpaca/en/alpaca_data.json",
    "alpaca/zh/alpaca-chinese-52k-v3.json",
    "alpaca/miniature.json",
)


@dataclass(frozen=True)
class TextSource:
    """A body of documents, and what a card says about it."""

    name: str
    documents: Sequence[Document]
    sha256: str  # of the uncompressed bytes
    licence: str = ""
    fallback: bool = False  # used for want of anything better


def find_texts(paths: Sequence[Path], data: DataFolder) -> list[TextSource]:
    """The texts of the given files; of the data folder if none is given; the built-in one if that has none."""
    return [from_file(path) for path in paths] or from_folder(data) or [built_in()]


def from_file(path: Path) -> TextSource:
    """The documents of a file: plain text, or rows with `text` or Alpaca's fields (.json, .jsonl); gzip is fine.

    Plain text is one document, or several with `<|endoftext|>` between them.

    Raises:
        MissingInput: there is no such file.
        BadFile: it holds no documents.
    """
    data = read_bytes(path)
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadFile(f"{path} is no sound gzip file", why=str(error), mend="make it again") from None
    return _source(path.name.removesuffix(".gz"), data, path)


def from_folder(data: DataFolder) -> list[TextSource]:
    """The training text (C4, Alpaca) that lies in a data folder; nothing is fetched."""
    if data.root is None:
        return []
    here = [name for name in TRAINING_FILES if any((data.root / f"{name}{end}").is_file() for end in ("", ".gz"))]
    return [_source(name, data.read(name), data.path(name), "" if data.upstream else "miniature") for name in here]


def from_texts(name: str, texts: Iterable[str]) -> TextSource:
    """A source of documents at hand."""
    documents = list(texts)
    return TextSource(name, documents, sha256_bytes(END.join(documents).encode()))


def built_in() -> TextSource:
    """The short text that comes with the package."""
    data = (files("edgelm.compress") / "calibration.txt").read_bytes()
    return TextSource("edgelm-calibration", _plain(data.decode()), sha256_bytes(data), "Apache-2.0", fallback=True)


def _source(name: str, data: bytes, path: Path, card_name: str = "") -> TextSource:
    digest = sha256_bytes(data)
    if name.endswith((".json", ".jsonl")):
        documents = [_document(row, path) for row in _rows(data, path, name.endswith(".jsonl"))]
    else:
        try:
            documents = list(_plain(data.decode()))
        except UnicodeDecodeError as error:
            raise BadFile(f"{path} is no text", why=str(error), mend="give .txt, .json or .jsonl, UTF-8") from None
    if not documents:
        raise BadFile(f"{path} holds no text", mend="give a file with some documents")
    known = _pinned().get(digest)
    card_name = card_name or (_card_name(known) if known else name)
    return TextSource(card_name, documents, digest, sources()[known].licence if known else "")


@cache
def _pinned() -> dict[str, str]:
    """Names of upstream files by sha256: a copy is recognised whatever it is called."""
    return {source.sha256: source.name for source in sources().values()}


def _card_name(name: str) -> str:
    return "alpaca-zh" if name.startswith("alpaca/zh/") else sources()[name].set


def _plain(text: str) -> list[Document]:
    return [document.strip() for document in text.split(END) if document.strip()]


def _rows(data: bytes, path: Path, lines: bool) -> Iterator[dict[str, Any]]:
    if lines:
        split = enumerate(data.split(b"\n"), start=1)
        rows = [parse_json(line, f"line {number} of {path}") for number, line in split if line.strip()]
    else:
        rows = parse_json(data, path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadFile(f"{path} holds no list of rows", mend="give a list of objects with text, or instruction/output")
    yield from rows


def _document(row: dict[str, Any], path: Path) -> Document:
    """A row as a document: `text`, or Alpaca's instruction, input and output (`zh_…` in the bilingual edition)."""
    prefix = "zh_" if "zh_instruction" in row else ""
    text = row.get("text")
    question, extra, answer = (row.get(prefix + key, "") for key in ("instruction", "input", "output"))
    if isinstance(text, str):
        return text
    if not question or not all(isinstance(part, str) for part in (question, extra, answer)):
        raise BadFile(f"{path}: a row has neither text nor instruction and output", why=f"its keys: {', '.join(row)}",
                      mend="rename the fields")  # fmt: skip
    return Turn("user", f"{question}\n{extra}" if extra else question), Turn("assistant", answer)
