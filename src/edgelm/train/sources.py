"""The allowed training data as documents: Alpaca (chat) and C4 (plain text), read from a data folder."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.chat import Prompt, ask
from edgelm.errors import BadFile, MissingInput
from edgelm.files import parse_json, read_bytes

NON_COMMERCIAL = "CC-BY-NC-4.0"
OWN = ("alpaca/miniature.json", "c4/miniature.jsonl")  # the miniature suite's, which are this package's own


@dataclass(frozen=True)
class Document:
    """One document: a prompt with its answer (Alpaca), or a text without a prompt (C4)."""

    source: str  # path below the data folder
    text: str
    prompt: Prompt | None = None


def licence_of(name: str) -> str:
    """The licence of a training file."""
    if name in OWN:
        return "Apache-2.0"
    return NON_COMMERCIAL if name.startswith("alpaca/") else "ODC-BY-1.0"


def find(data: Path) -> list[str]:
    """The training files below `alpaca/` and `c4/`, as sorted paths relative to `data`."""
    endings = {"alpaca": (".json", ".json.gz"), "c4": (".jsonl", ".jsonl.gz", ".json.gz")}
    return sorted(
        path.relative_to(data).as_posix()
        for folder, wanted in endings.items()
        for path in (data / folder).rglob("*")
        if path.is_file() and path.name.endswith(wanted)
    )


def read(data: Path, name: str) -> list[Document]:
    """All documents of one file.

    Raises:
        MissingInput: the file is not there, is empty, or a row lacks a column.
        BadFile: no UTF-8, no JSON, or no rows of the format that its folder stands for.
    """
    content = read_bytes(data / name)
    if name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise BadFile(f"{name} is no sound gzip file", why=str(error), mend="fetch it again") from None
    documents = list(_alpaca(name, content) if name.startswith("alpaca/") else _c4(name, content))
    if not documents:
        raise MissingInput(f"{name} holds no rows", mend="fetch it again, or leave it out: corpus:files=…")
    return documents


def _alpaca(name: str, content: bytes) -> Iterator[Document]:
    rows = parse_json(content, name) if content.strip() else []
    if not isinstance(rows, list):
        raise BadFile(f"{name} is no Alpaca file", why="it holds no list of rows", mend="see edgelm data")
    for number, row in enumerate(rows, start=1):
        where = f"row {number} of {name}"
        asked, given, answer = (_column(row, column, where) for column in ("instruction", "input", "output"))
        if answer:
            yield Document(name, answer, ask(f"{asked}\n{given}" if given else asked))


def _c4(name: str, content: bytes) -> Iterator[Document]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            where = f"line {number} of {name}"
            yield Document(name, _column(parse_json(line, where), "text", where))


def _column(row: Any, column: str, where: str) -> str:
    if not isinstance(row, dict) or column not in row:
        raise MissingInput(f"{where} has no column '{column}'", mend="give data in the upstream format")
    if not isinstance(row[column], str):
        raise BadFile(f"{where}: column '{column}' is no text", mend="give data in the upstream format")
    return row[column]
