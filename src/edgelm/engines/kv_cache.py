"""Keys and values: of beginnings, kept once for all their rows, and of each row's own tokens, on shelves by length.

N rows on a shelf, H heads of keys, T tokens, D head size. Every layer's tensors are shaped by what its own projections
made, never by a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

SLOTS = 16  # a shelf grows by as many rows,
TOKENS = 16384  # or by fewer that have room for so many tokens: empty slots of long rows would take all the memory


class Store(Protocol):
    """Where one layer's keys and values of some new tokens go."""

    def write(self, layer: int, k_HTD: Tensor, v_HTD: Tensor) -> None:
        """Keep them."""
        ...


class Beginning:
    """The keys and values of a shared beginning, by layer."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, k_HTD: Tensor, v_HTD: Tensor) -> None:
        """Keep them, whole and in a row."""
        self.layers[layer] = k_HTD[None].contiguous(), v_HTD[None].contiguous()


class Shelf:
    """Rows that all have room for `width` tokens; the first `len(rows)` slots are taken."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[int] = []
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, number: int, k_HTD: Tensor, v_HTD: Tensor) -> tuple[Tensor, Tensor]:
        """One layer's keys and values, N × H × width × D, with a slot for every row."""
        if number not in self.layers:
            self.layers[number] = self._empty(k_HTD), self._empty(v_HTD)
        k_NHTD, v_NHTD = self.layers[number]
        if len(k_NHTD) < len(self.rows):
            self.layers[number] = k_NHTD, v_NHTD = self._more(k_NHTD), self._more(v_NHTD)
        return k_NHTD, v_NHTD

    def _empty(self, x_HTD: Tensor) -> Tensor:
        more = max(1, min(SLOTS, TOKENS // self.width))
        return x_HTD.new_empty(-(-len(self.rows) // more) * more, x_HTD.shape[0], self.width, x_HTD.shape[2])

    def _more(self, x_NHTD: Tensor) -> Tensor:
        more = self._empty(x_NHTD[0])
        more[: len(x_NHTD)] = x_NHTD
        return more

    def remove(self, rows: Iterable[int]) -> None:
        """Take rows out; the last ones move into their slots, so that the taken slots stay without a hole."""
        gone = set(rows)
        left = len(self.rows) - len(gone)
        holes = [slot for slot in range(left) if self.rows[slot] in gone]
        movers = [slot for slot in range(left, len(self.rows)) if self.rows[slot] not in gone]
        if holes:
            self._copy(self, movers, holes)
            for hole, mover in zip(holes, movers, strict=True):
                self.rows[hole] = self.rows[mover]
        del self.rows[left:]
        if not self.rows:
            self.layers.clear()

    def take(self, other: Shelf, rows: Sequence[int]) -> None:
        """Take rows over from a narrower shelf."""
        slots = [other.rows.index(row) for row in rows]
        first = len(self.rows)
        self.rows += rows
        self._copy(other, slots, list(range(first, len(self.rows))))
        other.remove(rows)

    def _copy(self, other: Shelf, slots: list[int], to: list[int]) -> None:
        """Put what is in these slots of a shelf into slots here, and clear the rest of these."""
        if not other.layers:
            return
        device = next(iter(other.layers.values()))[0].device
        source, target = torch.tensor([slots, to], device=device).unbind(0)  # once: each is a transfer to a GPU
        for number, theirs in other.layers.items():
            ours = self.layer(number, *(x_NHTD[0] for x_NHTD in theirs))
            for mine_NHTD, their_NHTD in zip(ours, theirs, strict=True):
                mine_NHTD[target, :, : other.width] = their_NHTD[source]
                if self.width > other.width:
                    mine_NHTD[target, :, other.width :] = 0


class Slot:
    """A new row's place on a shelf."""

    def __init__(self, shelf: Shelf, number: int) -> None:
        self.shelf, self.number = shelf, number

    def write(self, layer: int, k_HTD: Tensor, v_HTD: Tensor) -> None:
        """Keep the row's first tokens.

        The rest of the slot is cleared: a key that is not attended to has the weight 0, but 0 times what an earlier row
        or nobody left there may be no number.
        """
        for x_NHTD, new_HTD in zip(self.shelf.layer(layer, k_HTD, v_HTD), (k_HTD, v_HTD), strict=True):
            x_NHTD[self.number, :, : new_HTD.shape[1]] = new_HTD
            x_NHTD[self.number, :, new_HTD.shape[1] :] = 0


class Cache:
    """All keys and values of one run; a new run has a new one, so that nothing of an earlier one can be read."""

    def __init__(self) -> None:
        self.beginnings: dict[int, Beginning] = {}  # by group
        self.shelves: dict[int, Shelf] = {}  # by width
        self.lengths: dict[int, int] = {}  # tokens kept, by row
        self._of: dict[int, Shelf] = {}

    def place(self, row: int, tokens: int) -> Slot:
        """A slot for a new row of so many tokens, and one more."""
        shelf = self._shelf(tokens + 1)
        shelf.rows.append(row)
        self.lengths[row], self._of[row] = tokens, shelf
        return Slot(shelf, len(shelf.rows) - 1)

    def make_room(self) -> None:
        """Move the rows whose shelf has no room for one more token."""
        full: dict[int, list[int]] = {}
        for row, shelf in self._of.items():
            if self.lengths[row] == shelf.width:
                full.setdefault(shelf.width, []).append(row)
        for width in sorted(full, reverse=True):
            wider = self._shelf(width + 1)
            wider.take(self.shelves[width], full[width])
            self._of.update(dict.fromkeys(full[width], wider))

    def remove(self, rows: Iterable[int]) -> None:
        """Forget rows that have ended."""
        gone: dict[int, list[int]] = {}
        for row in rows:
            del self.lengths[row]
            gone.setdefault(self._of.pop(row).width, []).append(row)
        for width, own in gone.items():
            self.shelves[width].remove(own)

    def _shelf(self, tokens: int) -> Shelf:
        width = width_for(tokens)
        return self.shelves.setdefault(width, Shelf(width))


def width_for(tokens: int) -> int:
    """The narrowest width that holds so many tokens: 64, 96, 128, 192, …; a third of it at most is empty."""
    width = 64
    while width < tokens:
        width = width * 3 // 2 if width & (width - 1) == 0 else width * 4 // 3
    return width
