"""Training text as documents: from files, or from the part of a data folder that is for training (C4 and Alpaca).

A file is plain text, or rows with `text` or with Alpaca's fields (.json, .jsonl); gzip is fine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgelm.data.folder import DataFolder, unzipped
from edgelm.data.miniature import NAME as MINIATURE
from edgelm.data.sources import sources
from edgelm.errors import BadFile, MissingInput
from edgelm.files import parse_json, sha256_bytes, tree_files

OPEN, NON_COMMERCIAL = "Apache-2.0", "CC-BY-NC-4.0"
TRAINING = {"c4": "ODC-BY-1.0", "alpaca": NON_COMMERCIAL}  # folders of training text as they are read, and licences
BUILT_IN = "edgelm-calibration"  # name of the text that comes with the package
END = "<|endoftext|>"  # between the documents of a plain text file
_ROWS = (".json", ".jsonl")
_MEND = "give rows with text, or with instruction, input and output"


@dataclass(frozen=True)
class Document:
    """Plain text, or the answer to a question."""

    text: str
    question: str | None = None


@dataclass(frozen=True)
class TextSource:
    """The documents of a file, and what a card says about it."""

    name: str  # of the data set, or of a file that belongs to none
    documents: Sequence[Document]
    sha256: str  # of the uncompressed bytes
    licence: str = ""  # empty if unknown


def from_file(path: Path) -> TextSource:
    """The documents of a file; a copy of an upstream file is recognised whatever it is called.

    Plain text is one document, or several with `<|endoftext|>` between them.

    Raises:
        MissingInput: there is no such file, it holds no text, or a row lacks a field.
        BadFile: it is damaged, or not in its format.
    """
    return _source(unzipped(path, mend="fetch it again"), path, (_unzipped_name(path.name), ""))


def from_folder(data: DataFolder, names: Sequence[str] = ()) -> list[TextSource]:
    """The named files of a data folder, or all that `training_names` lists; nothing is fetched.

    Upstream files and those of a suite of its own are held against their sha256. Others count as what their folder
    says: C4 below `c4/`, Alpaca below `alpaca/`.

    Raises:
        MissingInput: a file is not there, holds no text, or a row lacks a field.
        BadFile: a file is damaged, another edition than the pinned one, or not in its format.
    """
    return [_from_folder(data, _unzipped_name(name)) for name in names or training_names(data)]


def training_names(data: DataFolder) -> list[str]:
    """The training text in a data folder: paths below it, without `.gz`.

    Those that upstream, or the folder's own suite, lists; if there are none, all of `c4/` and `alpaca/` by endings.
    """
    if data.root is None:
        return []
    listed = [name for name in data.names if _folder(name) in TRAINING]
    if data.upstream:  # a suite of its own is whole, or reading it says what is missing
        listed = [name for name in listed if data.here(name)]
    order = list(TRAINING)
    return sorted(listed or _by_endings(data.root), key=lambda name: (order.index(_folder(name)), name))


def plain(content: str) -> list[Document]:
    """The documents of a plain text."""
    return [Document(text.strip()) for text in content.split(END) if text.strip()]


def _by_endings(root: Path) -> set[str]:
    files = [f"{folder}/{name}" for folder in TRAINING for name in tree_files(root / folder, links=True)]
    return {name for name in map(_unzipped_name, files) if name.endswith(_ROWS)}


def _from_folder(data: DataFolder, name: str) -> TextSource:
    path = data.here(name)
    if path is None:
        raise MissingInput(f"{data.root} lacks {name}", mend="check the path, or fetch or write the data again")
    if name not in data.names:
        return _source(unzipped(path, mend="fetch it again"), path, _declared(name))
    return _source(data.read(name), path, ("miniature", OPEN) if data.suite == MINIATURE else _declared(name))


def _source(content: bytes, path: Path, declared: tuple[str, str]) -> TextSource:
    """The documents in uncompressed bytes; name and licence are upstream's if it has these bytes, else as declared."""
    if _unzipped_name(path.name).endswith(_ROWS):
        documents = [_document(row, where) for row, where in _rows(content, path)]
    else:
        try:
            documents = plain(content.decode())
        except UnicodeDecodeError as error:
            raise BadFile(f"{path} is no text", why=str(error), mend="give .txt, .json or .jsonl, UTF-8") from None
    if not documents:
        raise MissingInput(f"{path} holds no text", mend="give a file with some documents")
    digest = sha256_bytes(content)
    name, licence = _upstream().get(digest, declared)
    return TextSource(name, documents, digest, licence)


@cache
def _upstream() -> dict[str, tuple[str, str]]:
    """Name and licence of upstream's files by sha256."""
    return {source.sha256: (_set(source.name), source.licence) for source in sources().values()}


def _declared(name: str) -> tuple[str, str]:
    """Name and licence of what lies at that path below a data folder."""
    folder = _folder(name)
    return (_set(name), TRAINING[folder]) if folder in TRAINING else (Path(name).name, "")


def _set(name: str) -> str:
    """The name by which rules allow a data set: its folder, but Chinese Alpaca has one of its own."""
    return "alpaca-zh" if name.startswith("alpaca/zh/") else _folder(name)


def _folder(name: str) -> str:
    return name.partition("/")[0]


def _unzipped_name(name: str) -> str:
    return name.removesuffix(".gz")


def _rows(content: bytes, path: Path) -> Iterator[tuple[Any, str]]:
    """Every row and where it is: the items of a JSON list, or one row a line (C4's .json is that)."""
    if content.lstrip().startswith(b"["):
        for number, row in enumerate(parse_json(content, path), start=1):
            yield row, f"row {number} of {path}"
    else:
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line.strip():
                where = f"line {number} of {path}"
                yield parse_json(line, where), where


def _document(row: Any, where: str) -> Document:
    """A row as a document: Alpaca's instruction, input and output (`zh_…` in the bilingual edition), or `text`."""
    if not isinstance(row, dict):
        raise BadFile(f"{where} is no JSON object", mend=_MEND)
    prefix = "zh_" if "zh_instruction" in row else ""
    if f"{prefix}instruction" not in row:
        return Document(_field(row, "text", where))
    question, answer = (_field(row, prefix + field, where) for field in ("instruction", "output"))
    extra = _field(row, f"{prefix}input", where) if f"{prefix}input" in row else ""
    return Document(answer, f"{question}\n{extra}" if extra else question)


def _field(row: dict[str, Any], field: str, where: str) -> str:
    if field not in row:
        raise MissingInput(f"{where} has no '{field}'", why=f"its fields: {', '.join(row) or 'none'}", mend=_MEND)
    if not isinstance(row[field], str):
        raise BadFile(f"{where}: '{field}' is no text", mend=_MEND)
    return row[field]
