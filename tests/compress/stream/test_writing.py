from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edgelm.checkpoint import Checkpoint
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.writing import Rounding, write_weights
from edgelm.errors import BadFile, Unsupported
from edgelm.stock import load_model


def test_cast_is_recorded() -> None:
    cast = Rounding(torch.float16)
    for name, tensor in {"a": torch.tensor([1.0, -3.0, 0.0]), "b": torch.tensor([[1e-9, 2.0]])}.items():
        assert cast(name, tensor).dtype == torch.float16
    assert cast.record["largest"] == 3
    assert cast.record["flushed"] == 0.25  # one of four that were not zero
    assert "25.00%" in cast.record["warnings"][0]
    exact = Rounding(torch.float32)
    exact("a", torch.tensor([1.0, 1e-9]))
    assert (exact.record["flushed"], exact.record["warnings"]) == (0, [])


@pytest.mark.parametrize("value", [65_520.0, -1e6])
def test_overflow_is_refused(value: float) -> None:
    with pytest.raises(Unsupported, match=r"big holds .* beyond the 65504"):
        Rounding(torch.float16)("big", torch.tensor([value]))
    assert Rounding(torch.float32)("big", torch.tensor([value])) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(BadFile, match="odd holds infinities or NaN"):
        Rounding(torch.float32)("odd", torch.tensor([1.0, value]))


def test_headers_count(base: Checkpoint, tmp_path: Path) -> None:
    def sizes(shard: int) -> list[int]:
        folder = tmp_path / str(shard)
        folder.mkdir()
        write_weights(Model.of(base), folder, torch.float32, shard)
        return [file.stat().st_size for file in folder.glob("*.safetensors")]

    [whole] = sizes(10**9)
    assert sizes(whole) == [whole]
    for less in (whole - 1, base.bytes):
        parts = sizes(less)
        assert len(parts) == 2
        assert max(parts) <= less


@pytest.mark.parametrize("shard", [10_000, 40_000, 10**9])
def test_files_of_bounded_size_are_one_model(base: Checkpoint, tmp_path: Path, shard: int) -> None:
    write_weights(Model.of(base), tmp_path, torch.float32, shard)
    (tmp_path / "config.json").write_text(json.dumps(base.config))
    made = Checkpoint(tmp_path)
    assert made.bytes == base.bytes
    sizes = [file.stat().st_size for file in made.weight_files]
    assert (len(sizes) > 1) == (base.bytes > shard)
    whole: dict[str, Any] = {}
    for file in made.weight_files:
        part = load_file(file)
        assert file.stat().st_size <= shard or len(part) == 1
        whole |= part
    stored = load_model(base, torch.float32).state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in whole.items())
    load_model(made, torch.float32)
