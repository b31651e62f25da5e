"""Texts that are nearly the same: MinHash of runs of five units, and the bands by which likenesses are found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelm.train.overlap.grams import Runs, unit_hashes, units

PERMUTATIONS = 128
SHINGLE = 5  # units in a row
LIKE = 0.8  # Jaccard likeness of two sets of shingles from which texts count as the same
BANDS = 16  # of 8 numbers each: two texts of likeness 0.8 share a band in 95 of 100 cases, of 0.9 in all
_AT_ONCE = 2048  # shingles whose permutations are in memory together, 2 MB
_NONE = np.iinfo(np.uint32).max  # without any shingle

Signature = NDArray[np.uint32]


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes whose upper bits depend on all bits (the finaliser of SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(31))


_DRAWN = _mixed(np.arange(1, 2 * PERMUTATIONS + 1, dtype=np.uint64)).reshape(2, -1)
_FACTORS, _OFFSETS = _DRAWN[0] | np.uint64(1), _DRAWN[1]


def signature(text: str) -> Signature:
    """The least number of each permutation over the text's shingles (128,); a shorter text is one shingle."""
    hashes = unit_hashes(units(text))
    shingles = np.unique(_mixed(Runs(hashes).of(min(SHINGLE, len(hashes)) or 1)))
    least = np.full(PERMUTATIONS, _NONE, np.uint32)
    for start in range(0, len(shingles), _AT_ONCE):
        permuted_NP = shingles[start : start + _AT_ONCE, None] * _FACTORS + _OFFSETS
        np.minimum(least, (permuted_NP >> np.uint64(32)).min(axis=0).astype(np.uint32), out=least)
    return least


def likeness(one: Signature, other: Signature) -> float:
    """The estimated Jaccard likeness of two texts' shingles; its standard error at 0.8 is 0.035."""
    return float(np.mean(one == other))


class NearDuplicates:
    """The signatures of the documents that were kept so far, and where their bands are: about 5 KB a document."""

    def __init__(self) -> None:
        self._kept: list[Signature] = []
        self._bands: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]

    def holds(self, mine: Signature) -> bool:
        """Whether a document kept before is nearly the same; else this one is kept. Without words it is like none."""
        if mine.min() == _NONE:
            return False
        keys = [band.tobytes() for band in mine.reshape(BANDS, -1)]
        looked = {place for bands, key in zip(self._bands, keys, strict=True) for place in bands.get(key, ())}
        if any(likeness(mine, self._kept[place]) >= LIKE for place in looked):
            return True
        for bands, key in zip(self._bands, keys, strict=True):
            bands.setdefault(key, []).append(len(self._kept))
        self._kept.append(mine)
        return False
