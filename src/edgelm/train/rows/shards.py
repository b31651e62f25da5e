"""Tokenised documents on disk: files of tokens, a record for each document, and an index that is written last."""

from __future__ import annotations

import contextlib
import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from edgelm.errors import BadFile, BadOption
from edgelm.files import disk_errors, parse_json, read_bytes, sha256_bytes, sha256_file, write_json

INDEX = "index.json"
LARGEST = 512 * 10**6  # bytes of a file of tokens
DOCUMENT = np.dtype([("start", "<u8"), ("given", "<u4"), ("source", "<u2"), ("chat", "u1")])  # start: in its file
Part = Literal["train", "held"]
Tokens = npt.NDArray[Any]


def token_type(vocab: int) -> np.dtype[Any]:
    """The type of stored tokens: two bytes where every token of the vocabulary fits into them, else four."""
    return np.dtype("<u2" if vocab <= 1 << 16 else "<u4")


class ShardWriter:
    """Writes the documents of one part; a new file begins where the last would become too large.

    Memory does not grow with the corpus. What is there counts only once `write_index` has written the index.
    """

    def __init__(self, folder: Path, part: Part, vocab: int, largest: int = LARGEST) -> None:
        self.folder, self.part, self.vocab, self._largest = folder, part, vocab, largest
        self._dtype = token_type(vocab)
        self._made: list[dict[str, Any]] = []
        self._files: dict[str, _Hashed] = {}
        self._tokens, self._documents = 0, 0  # of the present file

    def add(self, ids: Sequence[int] | Tokens, given: int = 1, source: int = 0, chat: bool = False) -> None:
        """Append a document; `given` is the number of its tokens at the start that are no answer.

        Raises:
            BadOption: a token is none of the vocabulary.
            BadFile: the document alone is larger than a file may be.
            NoSpace: the disk is full.
        """
        tokens = np.asarray(ids, dtype=np.int64)
        if len(tokens) and not (tokens.min() >= 0 and tokens.max() < self.vocab):
            wrong = int(tokens.max() if tokens.max() >= self.vocab else tokens.min())
            raise BadOption(f"token {wrong:,} is none of a vocabulary of {self.vocab:,}",
                            mend="give the tokenizer that made it, and its own size")  # fmt: skip
        size = len(tokens) * self._dtype.itemsize
        if size > self._largest:
            raise BadFile(f"a document has {len(tokens):,} tokens", why=f"a file holds {self._largest:,} bytes of them",
                          mend="part the text into documents")  # fmt: skip
        if self._files and self._tokens * self._dtype.itemsize + size > self._largest:
            self._finish_file()
        with disk_errors(self.folder):
            if not self._files:
                self._begin_file()
            self._files["bin"].write(tokens.astype(self._dtype).tobytes())
            self._files["idx"].write(np.array((self._tokens, given, source, chat), DOCUMENT).tobytes())
        self._tokens += len(tokens)
        self._documents += 1

    def close(self) -> list[dict[str, Any]]:
        """Hand all to the disk; the files' entries for the index: name, tokens, documents and digests."""
        if self._files:
            self._finish_file()
        return self._made

    def _name(self) -> str:
        return f"{self.part}-{len(self._made):05d}"

    def _begin_file(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for ending in ("bin", "idx"):
            self._files[ending] = _Hashed((self.folder / f"{self._name()}.{ending}").open("wb", buffering=1 << 20))
        self._tokens = self._documents = 0

    def _finish_file(self) -> None:
        with disk_errors(self.folder):
            digests = {ending: file.close() for ending, file in self._files.items()}
        self._made.append(
            {"file": self._name(), "tokens": self._tokens, "documents": self._documents, "sha256": digests}
        )
        self._files = {}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self.close()
        else:  # half a file, which no index will name
            for file in self._files.values():
                with contextlib.suppress(OSError):
                    file.file.close()
            self._files = {}


class _Hashed:
    """A file that is digested as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self._digest = file, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self._digest.update(data)

    def close(self) -> str:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return self._digest.hexdigest()


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write the index of a corpus, with which it is complete; `dtype` is added.

    Args:
        folder: where the writers' files are.
        index: tokenizer, vocab, sources and whatever else describes the corpus; `train` and `held` as `close` gave.
    """
    write_json(folder / INDEX, {**index, "dtype": token_type(index["vocab"]).name})


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a corpus.

    Raises:
        MissingInput: there is none.
        BadFile: it is not what `write_index` writes.
    """
    return _index(read_bytes(folder / INDEX), folder)


def _index(content: bytes, folder: Path) -> dict[str, Any]:
    index = parse_json(content, folder / INDEX)
    try:
        sound = index["dtype"] == token_type(index["vocab"]).name and isinstance(index["sources"], list)
        for entry in (*index["train"], *index["held"]):
            named = isinstance(entry["file"], str) and Path(entry["file"]).name == entry["file"]
            counted = all(type(entry[key]) is int and entry[key] >= 0 for key in ("tokens", "documents"))
            sound = sound and named and counted and {"bin", "idx"} <= set(entry["sha256"])
    except (TypeError, KeyError):
        sound = False
    if not sound:
        raise _damaged(folder / INDEX, "it is no index of a corpus")
    return index


def _damaged(path: Path, why: str) -> BadFile:
    return BadFile(f"{path} is damaged", why=why, mend=f"remove {path.parent} and run again")


class Shards:
    """The documents of one part of a corpus, read where they lie on the disk.

    Raises:
        MissingInput: there is no finished corpus.
        BadFile: a file is missing, or its size is not the index's.
    """

    def __init__(self, folder: Path, part: Part = "train") -> None:
        content = read_bytes(folder / INDEX)
        index = _index(content, folder)
        self.folder, self.digest = folder, sha256_bytes(content)
        self.vocab: int = index["vocab"]
        self.dtype = token_type(self.vocab)
        self.sources: list[dict[str, Any]] = index["sources"]
        self._entries: list[dict[str, Any]] = index[part]
        self.tokens = sum(entry["tokens"] for entry in self._entries)
        self._ends = list(accumulate(entry["documents"] for entry in self._entries))
        self.documents = self._ends[-1] if self._ends else 0
        self._bins = [self._open(entry, "bin", self.dtype, entry["tokens"]) for entry in self._entries]
        self._records = [self._open(entry, "idx", DOCUMENT, entry["documents"]) for entry in self._entries]

    def _open(self, entry: dict[str, Any], ending: str, dtype: np.dtype[Any], count: int) -> Tokens:
        path = self.folder / f"{entry['file']}.{ending}"
        if not path.is_file():
            raise BadFile(f"{path} is missing", mend=f"remove {self.folder} and run again")
        size, wanted = path.stat().st_size, count * dtype.itemsize
        if size != wanted:
            raise _damaged(path, f"it has {size:,} bytes, the index says {wanted:,}")
        # A plain array on the same bytes: slices of a memmap cost several times as much.
        return np.memmap(path, dtype, mode="r").view(np.ndarray) if count else np.empty(0, dtype)

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        """Where each document begins in its file."""
        return self._field("start").astype(np.int64)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each document (documents,).

        Raises:
            BadFile: a file of records does not fit its tokens.
        """
        lengths = [np.diff(records["start"].astype(np.int64), append=entry["tokens"])
                   for records, entry in zip(self._records, self._entries, strict=True)]  # fmt: skip
        for records, entry, found in zip(self._records, self._entries, lengths, strict=True):
            if len(records) and (records["start"][0] != 0 or found.min() < 0):
                raise _damaged(self.folder / f"{entry['file']}.idx", "its documents do not follow one another")
        return np.concatenate([np.empty(0, np.int64), *lengths])

    @cached_property
    def given(self) -> npt.NDArray[np.int64]:
        """Tokens at the start of each document that are no answer (documents,)."""
        return self._field("given").astype(np.int64)

    @cached_property
    def source(self) -> npt.NDArray[np.int64]:
        """The place of each document's source in `sources` (documents,)."""
        return self._field("source").astype(np.int64)

    @cached_property
    def chat(self) -> npt.NDArray[np.bool_]:
        """Which documents are an answer to a question (documents,)."""
        return self._field("chat").astype(np.bool_)

    def _field(self, name: str) -> npt.NDArray[Any]:
        return np.concatenate([np.empty(0, DOCUMENT[name]), *(records[name] for records in self._records)])

    def read(self, document: int, offset: int, length: int) -> Tokens:
        """Tokens [offset, offset + length) of a document (length,), as they lie on the disk.

        Raises:
            IndexError: the document has no such tokens.
        """
        if not 0 <= offset <= offset + length <= self.lengths[document]:
            raise IndexError(f"document {document} has no tokens {offset} to {offset + length}")
        start = int(self._starts[document]) + offset
        return self._bins[bisect_right(self._ends, document)][start : start + length]

    def verify(self) -> None:
        """Hold every file against its sha256.

        Raises:
            BadFile: the first file with other bytes.
        """
        for path, expected in self._digests():
            found = sha256_file(path)
            if found != expected:
                raise _damaged(path, f"sha256 {found[:12]}… instead of {expected[:12]}…")

    def _digests(self) -> Iterator[tuple[Path, str]]:
        for entry in self._entries:
            for ending in ("bin", "idx"):
                yield self.folder / f"{entry['file']}.{ending}", entry["sha256"][ending]
