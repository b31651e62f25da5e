"""Text as units (words, single characters of Chinese and Japanese), and 64-bit hashes of runs of units."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_ALONE = (
    "\u3005\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNIT = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")
# Gone without a trace, where all other signs part words: apostrophes ("don't" is "dont") and what nobody sees.
_DROPPED = re.compile("['\u2018\u2019\u02bc\u00ad\u200b-\u200d\u2060\ufeff]")
# Plain text is most of the text: cut without the expression, which takes four times as long.
_TYPOGRAPHIC = re.compile("[\u00ab\u00ae\u00b0\u00b7\u00bb\u2010-\u2015\u201c-\u201f\u2022]")
_PLAIN = {code: chr(code) if chr(code).isalnum() else " " for code in range(128)}
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)
_MOST_CACHED = 1 << 19  # units whose hashes a process remembers: less than 100 MB


def units(text: str) -> list[str]:
    """The units of a text: NFKC, case folded, punctuation out; words, but each Han character and kana by itself."""
    folded = _DROPPED.sub("", unicodedata.normalize("NFKC", text).casefold())
    if not folded.isascii():
        folded = _TYPOGRAPHIC.sub(" ", folded)
    return folded.translate(_PLAIN).split() if folded.isascii() else _UNIT.findall(folded)


class _Remembered(dict[str, bytes]):
    """The hash of each unit as 8 bytes; made from its letters alone, so that every process finds the same."""

    def __missing__(self, unit: str) -> bytes:
        if len(self) >= _MOST_CACHED:
            self.clear()
        made = self[unit] = blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return made


_remembered = _Remembered()


def unit_hashes(units: Iterable[str]) -> Hashes:
    """The hash of each unit. Shape (units,)."""
    return np.frombuffer(b"".join(map(_remembered.__getitem__, units)), "<u8")


class Runs:
    """The hashes of all runs of units in a text, whatever their length, from one pass over its units.

    A run of units u0 … u(n-1) has the hash Σ u(k)·base^k modulo 2^64: a difference of two prefix sums, moved to the
    start by a power of the inverse.

    Args:
        hashes: of the units. Shape (N,).
    """

    def __init__(self, hashes: Hashes) -> None:
        self.count = len(hashes)
        powers, self._inverses = _powers(1 << max(10, (self.count - 1).bit_length()))
        self._sums = np.zeros(self.count + 1, np.uint64)
        np.cumsum(hashes * powers[: self.count], out=self._sums[1:])

    def places(self, length: int) -> int:
        """How many runs of that length there are."""
        return max(0, self.count - length + 1)

    def of(self, length: int) -> Hashes:
        """The hash of the run of that length at each place. Shape (places,)."""
        places = self.places(length)
        return (self._sums[length:] - self._sums[:places]) * self._inverses[:places]

    def at(self, places: NDArray[np.intp], length: int) -> Hashes:
        """The hash of the run of that length at some places, all of which have room for it."""
        sums = self._sums[places + length] - self._sums[places]
        return sums * self._inverses[places]


@cache
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The first powers of the base and of its inverse."""
    bases = (np.full(count, base, np.uint64) for base in (_BASE, _INVERSE))
    powers, inverses = (np.multiply.accumulate(np.concatenate([[np.uint64(1)], each[1:]])) for each in bases)
    return powers, inverses


class Members:
    """Some 64-bit hashes, and quick answers to which of many others are among them.

    Most of the others are not. A table of bits, sixteen or more for each hash, sends nearly all of those away, so that
    few are looked for in the sorted list.
    """

    def __init__(self, ascending: Hashes) -> None:
        self._ascending = ascending
        bits = max(16, (16 * len(ascending)).bit_length())
        self._shift = np.uint64(64 - bits)
        place, bit = self._bit(ascending)
        self._table = np.zeros(1 << (bits - 3), np.uint8)
        np.bitwise_or.at(self._table, place, np.uint8(1) << bit)

    def _bit(self, hashes: Hashes) -> tuple[Hashes, NDArray[np.uint8]]:
        """The byte of the table that answers for each hash, and which bit of it."""
        place = hashes >> self._shift
        return place >> np.uint64(3), (place & np.uint64(7)).astype(np.uint8)

    def places(self, hashes: Hashes) -> NDArray[np.intp]:
        """Where in `hashes` members stand, ascending."""
        place, bit = self._bit(hashes)
        likely = np.flatnonzero(self._table[place] >> bit & 1)
        found = np.searchsorted(self._ascending, hashes[likely])
        inside = found < len(self._ascending)
        likely, found = likely[inside], found[inside]
        return likely[self._ascending[found] == hashes[likely]]


def joined(hashes: Sequence[Hashes]) -> tuple[Hashes, NDArray[np.intp]]:
    """Several texts' units in a row, and where each text begins.

    Behind each text stands a unit that no text has, so that no run across a border is a run of any text.
    """
    border = unit_hashes(["\n"])
    starts = np.cumsum([0, *(len(each) + 1 for each in hashes)])
    return np.concatenate([part for each in hashes for part in (each, border)] or [border[:0]]), starts[:-1]
