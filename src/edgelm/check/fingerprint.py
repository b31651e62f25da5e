"""The fingerprint of a known model: a small file by which what descends from it is recognised, without its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgelm.check.signs import Line, Lookup, columns, is_matrix, role, rows
from edgelm.check.vocabulary import vocabulary
from edgelm.checkpoint import Checkpoint, read_config, validate
from edgelm.errors import MissingInput
from edgelm.files import canonical_json, read_json, sha256_bytes, write_json

LINES = 8  # rows, and as many columns, kept of each matrix
Kept = dict[int, str]  # bits in hexadecimal, by row or column


class Lines(BaseModel):
    """What is kept of one matrix."""

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, int]
    rows: Kept
    columns: Kept


class Vocabulary(BaseModel):
    """What a tokenizer's vocabulary is told by."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    tokens: int
    bytes_per_token: float  # mean over the vocabulary


class Fingerprint(BaseModel):
    """Lines of every matrix of a model, and its vocabulary."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    format: Literal[1] = 1
    checkpoint: str  # digest
    matrices: dict[str, Lines]
    vocabulary: Vocabulary | None = None

    def lookup(self, of: str, along: Literal["rows", "columns"]) -> Lookup:
        """The kept lines of all matrices with one role."""
        matrices = [kept for name, kept in self.matrices.items() if role(name) == of]
        return Lookup(line for kept in matrices for line in kept_lines(kept, along).values())

    def save(self, path: Path) -> None:
        """Write it as one JSON file."""
        write_json(path, self.model_dump(mode="json"))


def kept_lines(kept: Lines, along: Literal["rows", "columns"]) -> dict[int, Line]:
    """The lines kept of a matrix, by row or column."""
    length = min(128, kept.shape[1 if along == "rows" else 0])
    return {place: Line(int(bits, 16), length) for place, bits in getattr(kept, along).items()}


def fingerprint(checkpoint: Checkpoint, *, digest: bool = True) -> Fingerprint:
    """The fingerprint of a checkpoint; with its `digest` if asked for, which reads all bytes."""
    matrices = {}
    for name, tensor in checkpoint.tensors.items():
        if is_matrix(tensor):
            height, width = tensor.shape
            matrices[name] = Lines(
                shape=(height, width), rows=_kept(rows(tensor, _spread(height))),
                columns=_kept(columns(tensor, _spread(width))),
            )  # fmt: skip
    return Fingerprint(checkpoint=checkpoint.digest if digest else "", matrices=matrices,
                       vocabulary=vocabulary_of(checkpoint.path / "tokenizer.json"))  # fmt: skip


def known_model(path: Path) -> Fingerprint:
    """The fingerprint in a file, or of the checkpoint in a folder.

    Raises:
        MissingInput, BadFile: there is neither.
    """
    if path.is_dir():
        return fingerprint(Checkpoint(path), digest=False)
    if not path.is_file():
        raise MissingInput(f"there is no known model at {path}", mend="give its folder, or its fingerprint")
    return validate(Fingerprint, read_json(path), path)


def vocabulary_of(path: Path) -> Vocabulary | None:
    """What a `tokenizer.json` is told by; None if there is none, or none of a known form."""
    core: Any = read_config(path).get("model") if path.is_file() else None
    ids = vocabulary(core) if isinstance(core, dict) else None
    if not ids:
        return None
    lengths = [len(token) for token in ids]  # byte-level vocabularies spell each byte as one character
    return Vocabulary(sha256=sha256_bytes(canonical_json(ids)), tokens=len(ids),
                      bytes_per_token=round(sum(lengths) / len(lengths), 3))  # fmt: skip


def _spread(size: int) -> Iterable[int]:
    """`LINES` places at about even distances: not quite, or whoever leaves out every third row would meet them all."""
    return [min(size - 1, (2 * number + 1) * size // (2 * LINES) + number) for number in range(LINES)]


def _kept(lines: Mapping[int, Line]) -> Kept:
    return {place: f"{line.bits:x}" for place, line in lines.items() if line.says_something}
