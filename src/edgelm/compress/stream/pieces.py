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

_NEAR = 1 << 16  # bytes that are read in less time than another read takes
_MOST = 256  # rows of a stretch, which bounds the memory for what is between them


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
            if self.rows is None:
                _fill(file.fileno(), into, self.stored.start, self.stored.file)
            elif len(into):
                self._gather(file.fileno(), into.reshape(len(self.rows), -1), self.rows)
        return made

    def _gather(self, file: int, into: npt.NDArray[np.uint8], rows: Numbers) -> None:
        """Fill rows of bytes: rows that lie near each other are read at once, with what is between them."""
        for first, after in _stretches(rows, 1 + _NEAR // self._row_bytes):
            chosen = rows[first:after] - rows[first]
            lie_so = len(chosen) > chosen[-1] and bool((np.diff(chosen) == 1).all())
            read = into[first:after] if lie_so else np.empty((chosen[-1] + 1, self._row_bytes), np.uint8)
            _fill(file, read.reshape(-1), self.stored.start + int(rows[first]) * self._row_bytes, self.stored.file)
            if not lie_so:
                into[first:after] = read[chosen]


def _stretches(rows: Numbers, near: int) -> Iterator[tuple[int, int]]:
    """Where rows ascend by at most so much, a few hundred of them at a time."""
    steps = np.diff(rows, append=-1)
    start = 0
    for end in (np.flatnonzero((steps < 0) | (steps > near)) + 1).tolist():
        for first in range(start, end, _MOST):
            yield first, min(first + _MOST, end)
        start = end


def pieces_of(path: Path) -> dict[str, Piece]:
    """All tensors of a safetensors file by name."""
    return {stored.name: Piece(stored) for stored in read_header(path)}


def _fill(file: int, into: npt.NDArray[np.uint8], start: int, path: Path) -> None:
    while len(into):
        got = os.preadv(file, [into.data], start)
        if not got:
            raise BadFile(f"{path} ends too early", why="it changed while it was read", mend="copy it again")
        into, start = into[got:], start + got
