from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgelm.compress.weights import save_weights
from edgelm.errors import BadFile, Unsupported


def test_cast_is_recorded(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([1.0, -3.0, 0.0]), "b": torch.tensor([[1e-9, 2.0]])}
    cast = save_weights(tmp_path / "w.safetensors", tensors, torch.float16)
    assert cast["largest"] == 3
    assert cast["flushed"] == 0.25  # one of four that were not zero
    assert "25.00%" in cast["warnings"][0]
    assert {name: tensor.dtype for name, tensor in load_file(tmp_path / "w.safetensors").items()} == {
        "a": torch.float16,
        "b": torch.float16,
    }
    tensors = {"a": torch.tensor([1.0, 1e-9])}
    exact = save_weights(tmp_path / "x.safetensors", tensors, torch.float32)
    assert (exact["flushed"], exact["warnings"]) == (0, [])


@pytest.mark.parametrize("value", [65_520.0, -1e6])
def test_overflow_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(Unsupported, match=r"big holds .* beyond the 65504"):
        save_weights(tmp_path / "w.safetensors", {"big": torch.tensor([value])}, torch.float16)
    assert not (tmp_path / "w.safetensors").exists()
    save_weights(tmp_path / "w.safetensors", {"big": torch.tensor([value])}, torch.float32)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(BadFile, match="odd holds infinities or NaN"):
            save_weights(tmp_path / "w.safetensors", {"odd": torch.tensor([value])}, torch.float32)
