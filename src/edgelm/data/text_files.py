"""Files of training text that are read as streams, and what finds them in a data folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgelm.data.documents import Document, document, is_text
from edgelm.data.folder import DataFolder
from edgelm.data.rows import PARQUET, READ, TEXT, first_row, opened, rows, texts, unzipped_name
from edgelm.data.texts import declared, in_order, listed_names, names_below, upstream_sets
from edgelm.errors import BadFile, MissingInput, Unsupported
from edgelm.files import CHUNK


@dataclass(frozen=True)
class TextFile:
    """One file of training text, read as a stream.

    Attributes:
        file: its path below the data folder, without `.gz`.
        declared: the name and licence that its place says.
        columns: what makes a document of a row that has them all.
        expected: the sha256 that its place says, if any does.
    """

    path: Path
    file: str
    declared: tuple[str, str]
    columns: tuple[str, ...] = ()
    expected: str | None = None

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the uncompressed bytes."""
        digest = hashlib.sha256()
        with opened(self.path) as stream:
            while block := stream.read(CHUNK):
                digest.update(block)
        return digest.hexdigest()

    @property
    def known(self) -> bool:
        """Whether these bytes are pinned: by upstream, or by the folder's own suite."""
        return self.sha256 in upstream_sets() or self.sha256 == self.expected

    @cached_property
    def _set(self) -> tuple[str, str]:
        by_place = self.expected is not None or self.file.startswith("c4/")  # C4 is too large to be read for its name
        return self.declared if by_place else upstream_sets().get(self.sha256, self.declared)

    @property
    def name(self) -> str:
        """The data set: c4, c4-zh, alpaca, alpaca-zh, miniature; or the file's name. A copy of Alpaca is recognised."""
        return self._set[0]

    @property
    def licence(self) -> str:
        """The licence of the data set; empty if unknown."""
        return self._set[1]

    def documents(self) -> Iterator[Document]:
        """All documents, in order; memory does not grow with the file unless it is one JSON list.

        Raises:
            MissingInput: there is no such file, or a row lacks a field.
            BadFile: it is damaged, not in its format, no UTF-8, or another edition than the pinned one.
            MissingPackage: it is parquet, which cannot be read here.
        """
        if self.expected is not None and self.sha256 != self.expected:
            raise BadFile(f"{self.path} is not the pinned edition of {self.file}",
                          why=f"sha256 {self.sha256[:12]}… instead of {self.expected[:12]}…",
                          mend="remove it and fetch or write it again, or give it another name")  # fmt: skip
        digest = None if "sha256" in self.__dict__ or self.path.name.endswith(PARQUET) else hashlib.sha256()
        with opened(self.path, digest.update if digest else None) as stream:
            if unzipped_name(self.path.name).endswith(TEXT):
                yield from (Document(text) for text in texts(stream, self.path))
            else:
                yield from (self._document(row, where) for row, where in rows(stream, self.path, self.columns))
        if digest:  # all bytes have passed
            self.__dict__["sha256"] = digest.hexdigest()

    def _document(self, row: Any, where: str) -> Document:
        try:
            return document(row, where, self.columns)
        except MissingInput as error:
            error.mend += f"; or name the columns to join: {_columns(row)}"
            raise


@dataclass(frozen=True)
class Found:
    """What there is of training text, and what is passed over: why, by path below the data folder."""

    files: list[TextFile] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def training_files(data: DataFolder, names: Sequence[str] = (), columns: Sequence[str] = ()) -> Found:
    """The named files of a data folder, or else all training text in it; nothing is fetched.

    That is what the folder's own suite lists, or all readable files below `c4/` and `alpaca/`. Files without the fields
    of documents are passed over unless they are named.

    Raises:
        MissingInput: a file is not there, or none has the `columns`.
        Unsupported: a named file is of a kind that cannot be read.
        BadFile: a file cannot be read.
    """
    suite = not data.upstream and listed_names(data)
    all_names = names or suite or (names_below(data.root) if data.root else ())
    found, joined, seen = Found(), False, []
    for name in in_order({unzipped_name(name) for name in all_names}):
        file = _file(data, name, tuple(columns))
        if not name.endswith(READ):
            found.skipped[name] = f"its ending is none of {', '.join(READ)}"
        elif name.endswith(TEXT):
            if names or not Path(name).name.lower().startswith(("readme", "licen")):
                found.files.append(file)
        else:
            row = None if file.expected and not columns else first_row(file.path)
            joined = joined or (isinstance(row, dict) and set(columns) <= row.keys())
            if row is None or names or is_text(row, columns):
                found.files.append(file)
            else:
                found.skipped[name] = f"its rows have no text: {_columns(row)} would join some"
            seen.append(f"{name} has {', '.join(row) if isinstance(row, dict) else 'no rows'}")
        if names and name in found.skipped:
            raise Unsupported(f"{name} cannot be read", why=found.skipped[name], mend="give it in another format")
    if columns and not joined:
        raise MissingInput(f"no file has the columns {', '.join(columns)}", why="; ".join(seen[:9]) or "there is none",
                           mend="name columns that are there: corpus:columns=…")  # fmt: skip
    return found


def fetched(data: DataFolder, name: str) -> TextFile:
    """A file of training text that upstream lists, fetched first if it is nowhere here.

    Raises:
        Offline: it would have to be fetched and may not be.
    """
    return TextFile(data.path(name), name, declared(data, name), expected=data.sha256(name))


def _file(data: DataFolder, name: str, columns: tuple[str, ...]) -> TextFile:
    path = data.here(name)
    if path is None:
        raise MissingInput(f"{data.root} lacks {name}", mend="check the path, or fetch or write the data again")
    return TextFile(path, name, declared(data, name), columns, data.sha256(name) if name in data.names else None)


def _columns(row: Any) -> str:
    """The option that would join the texts of such a row."""
    named = [name for name, value in row.items() if isinstance(value, str)] if isinstance(row, dict) else []
    return f"corpus:columns={'+'.join(named[:2]) or '…'}"
