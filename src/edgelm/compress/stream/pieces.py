"""Stored tensors, and rows of them, read by position.

Not by mapping files into memory: pages that are mapped count as resident, so that a memory limit could not be kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from edgelm.errors import BadFile
from edgelm.headers import TORCH_NAMES, read_header
from edgelm.headers import Tensor as Stored

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Piece:
    """A stored tensor, or rows of one in any order."""

    stored: Stored
    rows: Numbers | None = None  # None: all, as they lie

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions of what is read."""
        return self.stored.shape if self.rows is None else (len(self.rows), *self.stored.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """What it is stored in."""
        dtype: torch.dtype = getattr(torch, TORCH_NAMES[self.stored.dtype])
        return dtype

    @property
    def bytes(self) -> int:
        """Bytes of what is read."""
        return self.stored.bytes if self.rows is None else len(self.rows) * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return self.stored.bytes // max(1, self.stored.shape[0])

    def take(self, rows: Numbers) -> Piece:
        """These rows of it, in this order; nothing is read.

        Raises:
            IndexError: it has no such row.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise IndexError(f"{self.stored.name} has rows 0 to {self.shape[0] - 1}, not {rows.min()} to {rows.max()}")
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def read(self) -> torch.Tensor:
        """The tensor, as stored, in memory of its own.

        Raises:
            BadFile: the file is shorter than its header says.
        """
        made = torch.empty(self.shape, dtype=self.dtype)
        into = made.view(torch.uint8).numpy().reshape(-1) if made.numel() else np.empty(0, np.uint8)
        with self.stored.file.open("rb", buffering=0) as file:
            done = 0
            for start, size in self._runs():
                _fill(file.fileno(), into[done : done + size], start, self.stored.file)
                done += size
        return made

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Where the bytes lie: each stretch of neighbouring rows at once."""
        if self.rows is None:
            yield self.stored.start, self.stored.bytes
        elif len(self.rows):
            ends = np.flatnonzero(np.diff(self.rows, append=-1) != 1) + 1
            for first, after in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                yield (self.stored.start + int(self.rows[first]) * self._row_bytes, (after - first) * self._row_bytes)


def pieces_of(path: Path) -> dict[str, Piece]:
    """All tensors of a safetensors file by name."""
    return {stored.name: Piece(stored) for stored in read_header(path)}


def _fill(file: int, into: npt.NDArray[np.uint8], start: int, path: Path) -> None:
    while len(into):
        got = os.preadv(file, [into.data], start)
        if not got:
            raise BadFile(f"{path} ends too early", why="it changed while it was read", mend="copy it again")
        into, start = into[got:], start + got
