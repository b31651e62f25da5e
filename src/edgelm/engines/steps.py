"""Packed steps: one token for each running row and the prompts of new rows, in a row without padding."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from edgelm.engines.attention import Fresh, Lot, Step
from edgelm.engines.kv_cache import Cache, Shelf
from edgelm.engines.model import Forward
from edgelm.engines.prefixes import groups
from edgelm.engines.scheduler import Length, Limits, Schedule


@dataclass
class Packed:
    """The tokens of one step, and the place of the last one of each row."""

    step: Step = field(default_factory=Step)
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)  # by row, in the order of their tokens

    def add(self, row: int, ids: Sequence[int], position: int) -> tuple[int, int]:
        """Put a row's new tokens in, the first at that position of its text; returns from where to where."""
        start = len(self.ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        self.last[row] = len(self.ids) - 1
        return start, len(self.ids)


class Packing:
    """Texts that grow token by token, many at once; beginnings that they share are read once."""

    def __init__(self, forward: Forward, prompts: Sequence[Sequence[int]], caps: Sequence[int], limits: Limits) -> None:
        self.forward, self.prompts = forward, prompts
        self.made: list[list[int]] = [[] for _ in prompts]
        self.groups = groups(prompts)
        self._prefix = {row: len(group.prefix) for group in self.groups for row in group.rows}
        lengths = [Length(len(ids) - self._prefix[row], caps[row]) for row, ids in enumerate(prompts)]
        self.schedule = Schedule(self.groups, lengths, limits)
        self.cache = Cache()

    def step(self) -> tuple[list[int], Tensor]:
        """Read the last token of each running row, and new rows' prompts; returns the rows, and their logits, R × V."""
        admission = self.schedule.admit()
        for number in admission.groups:
            self.cache.beginnings[number] = self.forward.beginning(self.groups[number].prefix)
        packed = self._pack(admission.rows)
        logits_RV = self.forward.logits(packed.ids, packed.positions, packed.step, list(packed.last.values()))
        return list(packed.last), logits_RV

    def add(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        """Append a token to each of these rows."""
        for row, token in zip(rows, tokens, strict=True):
            self.made[row].append(token)

    def end(self, rows: Collection[int]) -> None:
        """Forget what was kept for these rows, and for groups that end with them."""
        self.cache.remove(rows)
        for number in self.schedule.end(rows):
            self.cache.beginnings.pop(number, None)

    def _pack(self, new: Sequence[int]) -> Packed:
        """The step's tokens, group by group, so that a beginning is seen by one stretch of them.

        Within a group the rows that go on come first, as they stand on their shelves.
        """
        self.cache.make_room()
        going = {width: list(shelf.rows) for width, shelf in self.cache.shelves.items() if shelf.rows}
        packed, started = Packed(), set(new)
        rows_of: dict[int, list[int]] = {}
        for row in (*chain.from_iterable(going.values()), *new):
            rows_of.setdefault(self.schedule.running[row], []).append(row)
        for number, rows in rows_of.items():
            start = len(packed.ids)
            for row in rows:
                if row in started:
                    own = self.prompts[row][self._prefix[row] :]
                    stretch = packed.add(row, own, self._prefix[row])
                    packed.step.fresh.append(Fresh(*stretch, self.cache.place(row, len(own))))
                else:
                    packed.add(row, self.made[row][-1:], len(self.prompts[row]) + len(self.made[row]) - 1)
            if beginning := self.cache.beginnings.get(number):
                packed.step.shared.append((start, len(packed.ids), beginning))
        packed.step.lots = [self._lot(self.cache.shelves[width], rows, packed) for width, rows in going.items()]
        return packed

    def _lot(self, shelf: Shelf, rows: Sequence[int], packed: Packed) -> Lot:
        """The rows of a shelf that go on; each has kept one token more after this step."""
        lengths = [self.cache.lengths[row] for row in rows]
        places = [packed.last[row] for row in rows]
        slots_N, at_N, length_N = torch.tensor(
            [list(range(len(rows))), places, lengths], device=self.forward.device
        ).unbind(0)
        together = places == list(range(places[0], places[0] + len(rows)))
        at = slice(places[0], places[0] + len(rows)) if together else at_N
        self.cache.lengths.update((row, length + 1) for row, length in zip(rows, lengths, strict=True))
        return Lot(shelf, slots_N, at, length_N, self.forward.bias(length_N, max(lengths) + 1))
