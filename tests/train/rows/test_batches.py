"""Batches: what stands in a row, where there is loss, and which rows a sample number means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelm.errors import MissingInput
from edgelm.train.rows.batches import IGNORED, Batch, Batches
from edgelm.train.rows.packing import Rows, pack
from edgelm.train.rows.shards import Shards, ShardWriter, write_index

Store = Callable[..., Shards]
NAMES = ("ids_BT", "labels_BT", "positions_BT", "documents_BT")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    def make(documents: Sequence[Sequence[int]], given: Sequence[int] = ()) -> Shards:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        with ShardWriter(folder, "train", 1000) as writer:
            for ids, asked in zip(documents, given or [1] * len(documents), strict=True):
                writer.add(ids, asked)
        write_index(folder, {"tokenizer": "", "vocab": 1000, "sources": [], "train": writer.close(), "held": []})
        return Shards(folder)

    return make


def rows_of(*rows: Sequence[tuple[int, int, int]]) -> Rows:
    pieces = np.array([piece for row in rows for piece in row], np.int64).T
    return Rows(*pieces, bounds=np.cumsum([0, *map(len, rows)]))


def test_a_row_holds_its_pieces_and_padding(store: Store) -> None:
    shards = store([[11, 12, 13], [21, 22]])
    batch = Batches(shards, rows_of([(0, 0, 3), (1, 0, 2)]), context=8, seed=0)(0, 1)
    assert batch.ids_BT[0, :5].tolist() == [11, 12, 13, 21, 22]
    assert batch.labels_BT.tolist() == [[12, 13, IGNORED, 22, *[IGNORED] * 4]]
    assert batch.positions_BT.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]]
    assert batch.documents_BT.tolist() == [[1, 1, 1, 2, 2, 0, 0, 0]]
    assert {getattr(batch, name).dtype for name in NAMES} == {torch.int64}
    there = batch.to(torch.device("meta"))
    assert {(getattr(there, name).device.type, getattr(there, name).shape) for name in NAMES} == {("meta", (1, 8))}


def test_a_piece_of_a_document_is_a_document_of_its_own(store: Store) -> None:
    shards = store([list(range(10, 19))])
    batch = Batches(shards, rows_of([(0, 4, 4), (0, 8, 1)]), context=5, seed=0)(0, 1)
    assert batch.ids_BT.tolist() == [[14, 15, 16, 17, 18]]
    assert batch.labels_BT.tolist() == [[15, 16, 17, IGNORED, IGNORED]]
    assert batch.positions_BT.tolist() == [[0, 1, 2, 3, 0]]
    assert batch.documents_BT.tolist() == [[1, 1, 1, 1, 2]]


def test_answers_alone_have_loss_if_that_is_asked(store: Store) -> None:
    shards = store([[1, 2, 3, 4, 5], [6, 7, 8], list(range(20, 28))], given=[3, 1, 6])
    batches = Batches(shards, rows_of([(0, 0, 5), (1, 0, 3), (2, 0, 4), (2, 4, 4)]), 16, seed=0, answers_only=True)
    first, plain, prompt, rest = batches(0, 1).labels_BT[0].split([5, 3, 4, 4])
    assert first.tolist() == [IGNORED, IGNORED, 4, 5, IGNORED]
    assert plain.tolist() == [7, 8, IGNORED]
    assert prompt.tolist() == [IGNORED] * 4
    assert rest.tolist() == [IGNORED, 26, 27, IGNORED]
    assert batches.answers(0, 1) == 6


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    documents=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=12),
    context=st.integers(1, 30), answers_only=st.booleans(), first=st.integers(0, 30), count=st.integers(1, 20),
)  # fmt: skip
def test_batches_are_what_their_pieces_say(
    store: Store, documents: list[tuple[int, int]], context: int, answers_only: bool, first: int, count: int
) -> None:
    texts = [[100 + n * 50 + place for place in range(length)] for n, (length, _) in enumerate(documents)]
    asked = [min(given, length) for length, given in documents]
    shards = store(texts, asked)
    rows = pack(shards.lengths, context)
    batches = Batches(shards, rows, context, seed=7, answers_only=answers_only)
    batch = batches(first, count)
    numbers = batches.documents(first, count)
    for place in range(count):
        plain = {name: getattr(batch, name)[place].tolist() for name in NAMES}
        at = 0
        for number, document in enumerate(numbers[place], start=1):
            length = plain["documents_BT"].count(number)
            piece = {name: values[at : at + length] for name, values in plain.items()}
            offset = texts[document].index(piece["ids_BT"][0])
            assert piece["ids_BT"] == texts[document][offset : offset + length]
            assert piece["positions_BT"] == list(range(length))
            assert piece["documents_BT"] == [number] * length
            begin = asked[document] if answers_only else 1
            assert piece["labels_BT"] == [
                token if offset + index >= begin else IGNORED for index, token in enumerate(piece["ids_BT"]) if index
            ] + [IGNORED]
            at += length
        assert set(plain["labels_BT"][at:]) <= {IGNORED} and set(plain["documents_BT"][at:]) <= {0}
    assert batches.answers(first, count) == int((batch.labels_BT != IGNORED).sum())


def test_a_sample_is_the_same_however_batches_are_cut(store: Store) -> None:
    shards = store([[n, n + 1, n + 2] for n in range(0, 90, 3)])
    batches = Batches(shards, pack(shards.lengths, 6), context=6, seed=3)
    again = Batches(shards, pack(shards.lengths, 6), context=6, seed=3)
    other = Batches(shards, pack(shards.lengths, 6), context=6, seed=4)
    whole = batches(5, 40)
    for name in NAMES:
        cut = torch.cat([getattr(again(start, 8), name) for start in range(5, 45, 8)])
        assert torch.equal(cut, getattr(whole, name))
    assert not torch.equal(other(5, 40).ids_BT, whole.ids_BT)


def test_an_epoch_holds_every_token_and_the_next_begins_within_a_batch(store: Store) -> None:
    shards = store([[n] * (n % 7 + 1) for n in range(1, 50)])
    batches = Batches(shards, pack(shards.lengths, 8), context=8, seed=0)
    rows = len(pack(shards.lengths, 8))

    def tokens(batch: Batch) -> list[int]:
        return sorted(batch.ids_BT[batch.documents_BT > 0].tolist())

    everything = sorted(token for n in range(1, 50) for token in [n] * (n % 7 + 1))
    assert tokens(batches(0, rows)) == tokens(batches(rows, rows)) == everything
    assert tokens(batches(0, 2 * rows)) == sorted(everything * 2)
    assert not torch.equal(batches(0, rows).ids_BT, batches(rows, rows).ids_BT)
    assert (batches.epochs(0), batches.epochs(3 * rows)) == (0, 3)


def test_one_row_can_fill_any_batch(store: Store) -> None:
    batches = Batches(store([[4, 5]]), rows_of([(0, 0, 2)]), context=2, seed=0)
    assert batches(0, 3).ids_BT.tolist() == [[4, 5]] * 3
    assert batches.answers(0, 3) == 3


def test_no_row_is_said(store: Store) -> None:
    shards = store([])
    with pytest.raises(MissingInput, match="no row"):
        Batches(shards, pack(shards.lengths, 8), context=8, seed=0)
