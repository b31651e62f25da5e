"""The screen for NaN and infinities, against torch, and headers that tell of other classes of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgelm.check.run import check
from edgelm.check.values import not_finite
from edgelm.headers import read_header
from edgelm.rules import Rules


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_screen_counts_what_torch_counts(tmp_path: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    largest = torch.finfo(getattr(torch, dtype)).max
    values = torch.randn(1 << 18, dtype=torch.float64).to(getattr(torch, dtype))
    values[7], values[99_999] = largest, -largest
    values[[0, 5, 200_001]] = float("nan")
    values[[1, 131_072]] = float("inf")
    values[262_143] = -float("inf")
    save_file({"sound": values[2:5].clone(), "spoiled": values}, tmp_path / "a.safetensors")
    found = {tensor.name: not_finite(tensor) for tensor in read_header(tmp_path / "a.safetensors")}
    assert found == {"sound": 0, "spoiled": int((~values.isfinite()).sum())}


def test_whole_numbers_are_not_screened(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.full((8,), -1)}, tmp_path / "a.safetensors")
    assert not_finite(read_header(tmp_path / "a.safetensors")[0]) == 0


def test_a_model_class_that_is_not_known_is_not_judged_by_its_shape(package: Any, rules: Rules) -> None:
    package.edit_config(model_type="my-own", num_hidden_layers=99)
    (found,) = check(package.path, rules)  # once, however many checks need the shape
    assert (found.code, found.severity) == ("CKP-04", "R")
    assert "'my-own' is not known here; nothing could be compared" in found.what


def test_a_stored_copy_of_a_tied_head_does_no_harm(package: Any, rules: Rules) -> None:
    package.edit_config(tie_word_embeddings=True)
    assert check(package.path, rules) == []
