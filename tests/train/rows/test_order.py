"""The order of training: a permutation for every size, and a pure function of seed and sample."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.train.rows.order import permuted, samples

UNTIMED = settings(deadline=None)
SIZES = st.one_of(st.integers(1, 70), st.integers(1, 5000))
SEEDS = st.integers(-(2**40), 2**70)


@UNTIMED
@given(SIZES, SEEDS)
def test_every_place_goes_somewhere_else(of: int, seed: int) -> None:
    found = permuted(np.arange(of), of, seed)
    assert found.dtype == np.int64
    assert sorted(found.tolist()) == list(range(of))


def test_sizes_around_powers_of_two_are_permuted() -> None:
    for of in (2**power + more for power in range(1, 17) for more in (-1, 0, 1)):
        assert (np.bincount(permuted(np.arange(of), of, 1), minlength=of) == 1).all()


def test_a_huge_permutation_needs_no_table() -> None:
    places = np.array([0, 1, 10**15, 2**60])
    found = permuted(places, 2**60 + 1, seed=3)
    assert len(set(found.tolist())) == 4
    assert (found <= 2**60).all()


@UNTIMED
@given(st.integers(0, 300), st.lists(st.integers(0, 40), max_size=8), st.integers(1, 90), SEEDS)
def test_a_sample_does_not_depend_on_how_batches_are_cut(start: int, cuts: list[int], rows: int, seed: int) -> None:
    whole = samples(start, sum(cuts), rows, seed)
    parts, at = [], start
    for count in cuts:
        parts += samples(at, count, rows, seed).tolist()
        at += count
    assert parts == whole.tolist()


@UNTIMED
@given(st.integers(1, 200), SEEDS)
def test_an_epoch_has_every_row_once(rows: int, seed: int) -> None:
    for epoch in range(3):
        assert sorted(samples(epoch * rows, rows, rows, seed).tolist()) == list(range(rows))


def test_seeds_and_epochs_have_their_own_order() -> None:
    orders = [samples(epoch * 50, 50, 50, seed).tolist() for seed in range(4) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 16


def test_no_place_is_favoured() -> None:
    rows, epochs = 7, 7000
    drawn = samples(0, rows * epochs, rows, seed=5).reshape(epochs, rows)
    counts = np.stack([np.bincount(drawn[:, place], minlength=rows) for place in range(rows)])
    assert abs(counts - epochs / rows).max() < 6 * (epochs / rows) ** 0.5
