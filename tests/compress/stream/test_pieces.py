from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgelm.compress.stream.pieces import pieces_of
from edgelm.errors import BadFile


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    tensors = {"a": torch.arange(60, dtype=torch.float32).reshape(20, 3), "b": torch.randn(4).bfloat16(),
               "none": torch.empty(0, 3)}  # fmt: skip
    save_file(tensors, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_read_is_what_was_written(stored: Path) -> None:
    pieces = pieces_of(stored)
    assert torch.equal(pieces["a"].read(), torch.arange(60.0).reshape(20, 3))
    assert pieces["b"].read().dtype == pieces["b"].dtype == torch.bfloat16
    assert pieces["none"].read().shape == (0, 3)


@pytest.mark.parametrize("rows", [[], [0], [19], [3, 4, 5, 9, 10, 2, 2, 19], list(range(19, -1, -1)), list(range(20))])
def test_rows_come_in_the_order_asked_for(stored: Path, rows: list[int]) -> None:
    piece, whole = pieces_of(stored)["a"], torch.arange(60.0).reshape(20, 3)
    taken = piece.take(np.array(rows, np.int64))
    assert taken.shape == (len(rows), 3)
    assert taken.bytes == 12 * len(rows)
    assert torch.equal(taken.read(), whole[rows])
    again = taken.take(np.arange(len(rows))[::-1].copy())
    assert torch.equal(again.read(), whole[rows[::-1]])


def test_rows_far_apart_are_read_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.randn(2000, 5)
    save_file({"t": table}, tmp_path / "w.safetensors")
    rows = np.sort(np.random.default_rng(0).choice(2000, 700, replace=False))
    for near in (0, 60, 1 << 16):
        monkeypatch.setattr("edgelm.compress.stream.pieces._NEAR", near)
        assert torch.equal(pieces_of(tmp_path / "w.safetensors")["t"].take(rows).read(), table[rows])


@pytest.mark.parametrize("row", [-1, 20])
def test_a_row_that_is_not_there_is_not_read(stored: Path, row: int) -> None:
    """The bytes there are those of another tensor."""
    piece = pieces_of(stored)["a"]
    with pytest.raises(IndexError, match="a has rows 0 to 19"):
        piece.take(np.array([3, row]))
    with pytest.raises(IndexError):
        piece.take(np.arange(20)).take(np.array([row]))


def test_a_file_that_was_cut_is_said(stored: Path) -> None:
    piece = pieces_of(stored)["a"]
    stored.write_bytes(stored.read_bytes()[:-40])
    with pytest.raises(BadFile, match="ends too early"):
        for name in ("a", "b"):
            (piece if name == "a" else pieces_of(stored)[name]).read()
