"""Which runs of units stand for the items of the benchmarks: all but templates, and short texts as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgelm.train.overlap.grams import Hashes, Members, Runs, unit_hashes, units
from edgelm.train.overlap.items import Item

CONTEXT = 50  # units of a passage of a long context, wherever it begins
# Not all runs of a context are kept: of any eight that follow each other, the one with the least hash (winnowing,
# Schleimer et al. 2003). Every passage of 50 units has eight runs of 43, hence one that is kept. All would be half a
# gigabyte for LongBench, in every process.
WINDOW = 8
CONTEXT_RUN = CONTEXT - WINDOW + 1
SHORTEST = 6  # units of a short text that counts as a whole
TEMPLATE = 10  # a run in more items than this belongs to none of them
_NONE = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Kept:
    """The runs that count.

    Attributes:
        grams: hashes of runs, ascending; one that several items have stands there as often. Shape (runs,).
        items: the number of each run's item. Shape (runs,).
        lengths: of the texts among them that count as a whole.
        beginnings: hashes of the first `SHORTEST` units of those texts, ascending.
    """

    grams: Hashes
    items: NDArray[np.uint32]
    lengths: list[int]
    beginnings: Hashes


class Gathered:
    """The runs of items as the items are read; `n` is the number of units of a run of a question or an answer."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._grams: list[Hashes] = []  # of each item, repeats among them
        self._wholes: dict[int, tuple[int, int]] = {}  # hash of a short text: its length, the hash of its beginning
        self._contexts: list[tuple[int, Hashes]] = []  # the number of an item, and all runs of a context of its
        self._first: list[Hashes] = []  # the units of each item's first text that has enough

    def add(self, item: Item) -> None:
        """Take an item's runs in."""
        texts = [unit_hashes(units(text)) for text in dict.fromkeys(item.texts)]
        contexts = [unit_hashes(units(text)) for text in dict.fromkeys(item.contexts)]
        for text in contexts:
            if len(text) >= CONTEXT:
                self._contexts.append((len(self._grams), Runs(text).of(CONTEXT_RUN)))
        grams = [Runs(text).of(self._n) if len(text) >= self._n else self._whole(text) for text in texts]
        grams += [self._whole(text) for text in contexts if len(text) < CONTEXT]
        self._grams.append(np.concatenate([_NONE, *grams]))
        self._first.append(next((text for text in texts if len(text) >= SHORTEST), _NONE))

    def _whole(self, text: Hashes) -> Hashes:
        """A text as one run, however many units it has; none if it has too few."""
        if len(text) < SHORTEST:
            return _NONE
        runs, start = Runs(text), np.zeros(1, np.intp)
        whole = runs.at(start, len(text))
        self._wholes[int(whole[0])] = len(text), int(runs.at(start, SHORTEST)[0])
        return whole

    def kept(self) -> Kept:
        """The runs that count.

        Those in too many items are left out. An item that would be left with nothing counts by its first text as a
        whole, so that every item can be found that has enough units.
        """
        number, by_item = np.arange(len(self._grams)), list(self._grams)
        for item, runs in self._long():
            by_item[item] = np.concatenate([by_item[item], runs])
        grams, items = _rare(*_ascending(by_item, number))
        lost = np.setdiff1d(number, items)
        whole, of = _ascending([self._whole(self._first[item]) for item in lost.tolist()], lost)
        place = np.searchsorted(grams, whole)
        grams, items = np.insert(grams, place, whole), np.insert(items, place, of)
        wholes = [shape for gram, shape in self._wholes.items() if _holds(grams, gram)]
        beginnings = np.unique(np.array([beginning for _, beginning in wholes], np.uint64))
        return Kept(grams, items, sorted({length for length, _ in wholes}), beginnings)

    def _long(self) -> list[tuple[int, Hashes]]:
        """The runs of each context that are the least of a window, in this context or in another."""
        least = [sliding_window_view(runs, WINDOW).min(axis=1) for _, runs in self._contexts]
        members = Members(np.unique(np.concatenate([_NONE, *least])))
        return [(item, runs[members.places(runs)]) for item, runs in self._contexts]


def _ascending(grams: Sequence[Hashes], items: NDArray[np.intp]) -> tuple[Hashes, NDArray[np.uint32]]:
    """The hashes of some items ascending, and the item of each."""
    every = np.concatenate([_NONE, *grams])
    of = np.repeat(items.astype(np.uint32), [len(each) for each in grams])
    order = np.argsort(every, kind="stable")
    return every[order], of[order]


def _rare(grams: Hashes, items: NDArray[np.uint32]) -> tuple[Hashes, NDArray[np.uint32]]:
    """Those of ascending hashes that few items have, once for each item."""
    fresh = np.ones(len(grams), bool)
    fresh[1:] = (grams[1:] != grams[:-1]) | (items[1:] != items[:-1])
    grams, items = grams[fresh], items[fresh]
    first = np.ones(len(grams), bool)
    first[1:] = grams[1:] != grams[:-1]
    times = np.diff(np.append(np.flatnonzero(first), len(grams)))
    few = np.repeat(times <= TEMPLATE, times)
    return grams[few], items[few]


def _holds(ascending: Hashes, value: int) -> bool:
    place = int(np.searchsorted(ascending, np.uint64(value)))
    return place < len(ascending) and int(ascending[place]) == value
