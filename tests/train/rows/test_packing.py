"""Packing: every token of every document once, in rows that hold no more than they may and waste little."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.train.rows.packing import Rows, pack

UNTIMED = settings(deadline=None)
LENGTHS = st.lists(st.integers(0, 200), max_size=60).map(lambda lengths: np.array(lengths, np.int64))


def per_row(rows: Rows) -> list[int]:
    return [
        int(rows.length[start:end].sum()) for start, end in zip(rows.bounds[:-1], rows.bounds[1:], strict=True)
    ]  # fmt: skip


def tokens(rows: Rows) -> list[tuple[int, int]]:
    pieces = zip(rows.document.tolist(), rows.offset.tolist(), rows.length.tolist(), strict=True)
    return [(document, offset + place) for document, offset, length in pieces for place in range(length)]


@UNTIMED
@given(LENGTHS, st.integers(1, 70))
def test_every_token_is_in_one_piece(lengths: np.ndarray, row: int) -> None:
    found = tokens(pack(lengths, row))
    assert sorted(found) == [(document, place) for document, length in enumerate(lengths) for place in range(length)]


@UNTIMED
@given(LENGTHS, st.integers(1, 70))
def test_no_row_is_empty_or_holds_more_than_it_has_room_for(lengths: np.ndarray, row: int) -> None:
    rows = pack(lengths, row)
    assert len(rows) == len(per_row(rows))
    assert all(1 <= held <= row for held in per_row(rows))
    assert (rows.length > 0).all()


@UNTIMED
@given(LENGTHS, st.integers(1, 70))
def test_a_document_that_fits_into_a_row_stays_whole(lengths: np.ndarray, row: int) -> None:
    pieces = np.bincount(pack(lengths, row).document, minlength=len(lengths))
    assert pieces.tolist() == [-(-length // row) for length in lengths.tolist()]


@UNTIMED
@given(LENGTHS, st.integers(1, 70))
def test_no_two_rows_would_fit_into_one(lengths: np.ndarray, row: int) -> None:
    held = sorted(per_row(pack(lengths, row)))
    assert len(held) < 2 or held[0] + held[1] > row


@UNTIMED
@given(LENGTHS, st.integers(1, 70), st.data())
def test_only_the_named_documents_are_packed(lengths: np.ndarray, row: int, data: st.DataObject) -> None:
    chosen = np.array(data.draw(st.lists(st.sampled_from(range(len(lengths))), unique=True)) if len(lengths) else [])
    found = tokens(pack(lengths, row, chosen.astype(np.int64)))
    assert sorted(found) == sorted((n, place) for n in chosen.tolist() for place in range(lengths[n]))


@UNTIMED
@given(LENGTHS, st.integers(1, 70))
def test_equal_lengths_give_equal_rows(lengths: np.ndarray, row: int) -> None:
    one, two = pack(lengths, row), pack(lengths.copy(), row)
    assert all(np.array_equal(value, vars(two)[name]) for name, value in vars(one).items())


def test_the_fullest_row_that_has_room_is_taken() -> None:
    rows = pack(np.array([6, 7, 3, 4]), 10)
    assert [sorted(rows.document[a:b].tolist()) for a, b in zip(rows.bounds, rows.bounds[1:], strict=False)] == [
        [1, 2], [0, 3],
    ]  # fmt: skip


def test_little_room_is_wasted_on_documents_of_all_lengths() -> None:
    lengths = np.random.default_rng(0).lognormal(5.7, 1.0, 20_000).astype(np.int64) + 2
    for row in (256, 2048):
        assert 1 - lengths.sum() / (len(pack(lengths, row)) * row) < 0.001
