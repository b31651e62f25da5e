"""The order of training: a permutation that is computed for any place in it, and kept nowhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
_Bits = npt.NDArray[np.uint64]

_ROUNDS = 8
_GOLDEN = 0x9E37_79B9_7F4A_7C15  # 2⁶⁴ / golden ratio, by which splitmix64 steps
_FULL = (1 << 64) - 1


def permuted(index: Numbers, of: int, seed: int | Numbers) -> Numbers:
    """Where each place goes in a permutation of [0, of) that the seed chooses; one seed for all or one for each.

    A Feistel network permutes the least square power of two that holds `of`; who lands beyond `of` goes on from there
    until it is back, which is a permutation of what is below.

    Args:
        index: places, each in [0, of).
        of: how many are permuted.
        seed: equal ones give equal permutations.
    """
    half = np.uint64(max(1, ((of - 1).bit_length() + 1) // 2))
    start = np.full(index.shape, seed & _FULL, np.uint64) if isinstance(seed, int) else seed.astype(np.uint64)
    keys = np.stack([_mixed(start + np.uint64(_GOLDEN * number & _FULL)) for number in range(1, _ROUNDS + 1)])
    found = _network(index.astype(np.uint64), half, keys)
    while (beyond := found >= of).any():
        found[beyond] = _network(found[beyond], half, keys[:, beyond])
    return found.astype(np.int64)


def samples(start: int, count: int, rows: int, seed: int) -> Numbers:
    """The rows of samples `start` to `start + count` of a run: every row once an epoch, each epoch in its own order."""
    epoch, place = np.divmod(np.arange(start, start + count), rows)
    seeds = _mixed(epoch.astype(np.uint64) ^ _mixed(np.full(count, seed & _FULL, np.uint64)))
    return permuted(place, rows, seeds.view(np.int64))


def _network(number: _Bits, half: np.uint64, keys: _Bits) -> _Bits:
    """A Feistel network on numbers of twice `half` bits; keys (rounds, numbers)."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = number >> half, number & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return left << half | right


def _mixed(number: _Bits) -> _Bits:
    """Numbers of 64 bits, each bit of which depends on all bits (the last steps of splitmix64)."""
    number = (number ^ number >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    number = (number ^ number >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return number ^ number >> np.uint64(31)
