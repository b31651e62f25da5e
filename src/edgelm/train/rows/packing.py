"""Which documents, or pieces of them, share a row: best fit, longest first (arXiv 2404.10830)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows of pieces: piece p is tokens [offset, offset + length) of its document.

    Row r holds the pieces bounds[r] to bounds[r + 1].
    """

    document: Numbers  # (pieces,)
    offset: Numbers
    length: Numbers
    bounds: Numbers  # (rows + 1,)

    def __len__(self) -> int:
        return len(self.bounds) - 1


def pack(lengths: Numbers, row: int, documents: Numbers | None = None) -> Rows:
    """Rows of at most `row` tokens that hold every token of every document once.

    Documents longer than a row are cut into pieces of a whole row; what is left of them, and every shorter document,
    stays in one piece. Equal lengths give equal rows.

    Args:
        lengths: tokens of each document.
        row: tokens that a row has room for.
        documents: the numbers of those to pack (all if not given).
    """
    chosen = np.arange(len(lengths)) if documents is None else np.asarray(documents, np.int64)
    wholes, rests = np.divmod(np.asarray(lengths, np.int64)[chosen], row)
    whole_of = np.repeat(chosen, wholes)  # the document of each piece that fills a row
    first = np.repeat(np.cumsum(wholes) - wholes, wholes)  # the number of its document's first one
    whole_offset = (np.arange(len(whole_of)) - first) * row

    order = np.argsort(-rests, kind="stable")
    order = order[rests[order] > 0]
    placed = _best_fit(rests[order].tolist(), row)
    in_row = np.concatenate([np.arange(len(whole_of)), len(whole_of) + np.array(placed, np.int64)])
    by_row = np.argsort(in_row, kind="stable")
    return Rows(
        document=np.concatenate([whole_of, chosen[order]])[by_row],
        offset=np.concatenate([whole_offset, wholes[order] * row])[by_row],
        length=np.concatenate([np.full(len(whole_of), row), rests[order]])[by_row],
        bounds=np.concatenate([[0], np.cumsum(np.bincount(in_row))]),
    )


def _best_fit(lengths: list[int], row: int) -> list[int]:
    """The row of each piece: the fullest that has room for it, else a new one."""
    open_rows: list[list[int]] = [[] for _ in range(row + 1)]  # by the room that they have left
    rooms = 0  # bit r is set where some row has room for r tokens: the least one that suffices is one step away
    rows = 0
    placed = []
    for length in lengths:
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            number = open_rows[room].pop()
            if not open_rows[room]:
                rooms ^= 1 << room
        else:
            room, number = row, rows
            rows += 1
        placed.append(number)
        if left := room - length:
            open_rows[left].append(number)
            rooms |= 1 << left
    return placed
