"""Training text as documents: from files, or from the part of a data folder that is for training (C4 and Alpaca).

A file is plain text, or rows with `text` or with Alpaca's fields (.json, .jsonl, .parquet); gzip is fine.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgelm.data.documents import Document, document
from edgelm.data.folder import DataFolder, unzipped
from edgelm.data.miniature import NAME as MINIATURE
from edgelm.data.rows import JSON, PARQUET, rows, texts, unzipped_name
from edgelm.data.sources import sources
from edgelm.errors import MissingInput
from edgelm.files import sha256_bytes, tree_files

OPEN, NON_COMMERCIAL = "Apache-2.0", "CC-BY-NC-4.0"
TRAINING = {"c4": "ODC-BY-1.0", "alpaca": NON_COMMERCIAL}  # folders of training text as they are read, and licences
SETS = ("c4", "c4-zh", "alpaca", "alpaca-zh")  # what the rules allow, as we read them
BUILT_IN = "edgelm-calibration"  # name of the text that comes with the package
MINIATURE_SET = "miniature"  # name of the miniature suite's text
_BESIDE = 256  # bytes of a document besides its letters: objects, and places in lists and sets of those that are met
_CHINESE = {"zh", "chinese"}  # words of a path that say so


@dataclass(frozen=True)
class TextSource:
    """The documents of a file, and what a card says about it."""

    name: str  # of the data set, or of a file that belongs to none
    documents: Sequence[Document]
    sha256: str  # of the uncompressed bytes
    licence: str = ""  # empty if unknown
    known: bool = False  # whether these bytes are pinned: by upstream, or by a suite of the folder's own
    overlap: dict[str, Any] | None = None  # what was left out as a benchmark's, as a card says it; None: nobody looked

    @property
    def allowed(self) -> bool:
        """Whether it is C4 or Alpaca, or of the folder's own miniature, and pinned by its digest."""
        return self.known if self.name == MINIATURE_SET else self.name in SETS and self.sha256 in upstream_sets()

    @property
    def resident(self) -> int:
        """Bytes that its documents take in memory, about; more than in a file where letters take two or four each."""
        parts = [part for document in self.documents for part in (document.question, document.text) if part]
        return _BESIDE * len(self.documents) + sum(map(sys.getsizeof, parts))


def from_file(path: Path) -> TextSource:
    """The documents of a file; a copy of an upstream file is recognised whatever it is called.

    Plain text is one document, or several with `<|endoftext|>` between them.

    Raises:
        MissingInput: there is no such file, it holds no text, or a row lacks a field.
        BadFile: it is damaged, or not in its format.
    """
    return _source(unzipped(path, mend="fetch it again"), path, (unzipped_name(path.name), ""))


def from_folder(data: DataFolder, names: Sequence[str] = ()) -> list[TextSource]:
    """The named files of a data folder, or all that `training_names` lists; nothing is fetched.

    Upstream files and those of a suite of its own are held against their sha256. Others count as what their folder
    says: C4 below `c4/`, Alpaca below `alpaca/`.

    Raises:
        MissingInput: a file is not there, holds no text, or a row lacks a field.
        BadFile: a file is damaged, another edition than the pinned one, or not in its format.
    """
    return [_from_folder(data, unzipped_name(name)) for name in names or training_names(data)]


def training_names(data: DataFolder) -> list[str]:
    """The training text in a data folder: paths below it, without `.gz`.

    Those that upstream, or the folder's own suite, lists; if there are none, all of `c4/` and `alpaca/` by endings.
    """
    if data.root is None:
        return []
    return in_order(listed_names(data) or {name for name in names_below(data.root) if name.endswith((*JSON, PARQUET))})


def listed_names(data: DataFolder) -> list[str]:
    """The training text that upstream lists and that is here, or that the folder's own suite lists."""
    listed = [name for name in data.names if _folder(name) in TRAINING]
    if data.upstream:  # a suite of its own is whole, or reading it says what is missing
        listed = [name for name in listed if data.here(name)]
    return listed


def names_below(root: Path) -> set[str]:
    """All files of the folders of training text, whatever their endings; paths below `root`, without `.gz`."""
    return {unzipped_name(f"{folder}/{name}") for folder in TRAINING for name in tree_files(root / folder, links=True)}


def in_order(names: Sequence[str] | set[str]) -> list[str]:
    """Names of training text as they are read: C4, then Alpaca, then others, each by path."""
    order = list(TRAINING)
    return sorted(names, key=lambda name: (order.index(_folder(name)) if _folder(name) in order else len(order), name))


@cache
def upstream_sets() -> dict[str, tuple[str, str]]:
    """Name and licence of upstream's files by sha256."""
    return {source.sha256: (_set(source.name), source.licence) for source in sources().values()}


def declared(data: DataFolder, name: str) -> tuple[str, str]:
    """Name and licence of what lies at that path below a data folder: as its folder, or the suite's kind, says."""
    if data.suite == MINIATURE and name in data.names:
        return MINIATURE_SET, OPEN
    folder = _folder(name)
    return (_set(name), TRAINING[folder]) if folder in TRAINING else (Path(name).name, "")


def _from_folder(data: DataFolder, name: str) -> TextSource:
    path = data.here(name)
    if path is None:
        raise MissingInput(f"{data.root} lacks {name}", mend="check the path, or fetch or write the data again")
    pinned = name in data.names
    content = data.read(name) if pinned else unzipped(path, mend="fetch it again")
    return _source(content, path, declared(data, name), pinned)


def _source(content: bytes, path: Path, said: tuple[str, str], pinned: bool = False) -> TextSource:
    """The documents in uncompressed bytes; name and licence are upstream's if it has these bytes, else as declared."""
    if unzipped_name(path.name).endswith((*JSON, PARQUET)):
        documents = [document(row, where) for row, where in rows(io.BytesIO(content), path)]
    else:
        documents = [Document(text) for text in texts(io.BytesIO(content), path)]
    if not documents:
        raise MissingInput(f"{path} holds no text", mend="give a file with some documents")
    digest = sha256_bytes(content)
    name, licence = upstream_sets().get(digest, said)
    return TextSource(name, documents, digest, licence, pinned or digest in upstream_sets())


def _set(name: str) -> str:
    """The name by which rules allow a data set: its folder, but what is Chinese has one of its own.

    C4's folder `multilingual` holds a file or more of each language; one that names none counts as Chinese.
    """
    folder, words = _folder(name), set(re.split(r"[/._-]", name.lower()))
    language = re.fullmatch(r"c4-([a-z]{2,3})\b.*", Path(name).name) if "multilingual" in words else None
    if language and language[1] != "zh":
        return f"c4-{language[1]}"
    return f"{folder}-zh" if words & _CHINESE or "multilingual" in words else folder


def _folder(name: str) -> str:
    return name.partition("/")[0]
