"""The value screen: what it catches, what it lets pass, and what it cannot see, on layers of an 8B model's shape."""

from __future__ import annotations

import importlib.util
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.run import check
from edgelm.check.screen import CLEAN, REFER, ROWS, distinct_share, is_linear, read_rows, sampled_rows, screen_tensor
from edgelm.check.values import not_finite
from edgelm.headers import Tensor, read_header
from edgelm.rules import Rules

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/screen.py"
INVISIBLE = {"int8 per channel, low-rank update merged", "FP8, low-rank update merged",
                               "int4 per 128, low-rank update merged", "int4 per 128, 5 % noise"}  # fmt: skip


def load_forms() -> Any:
    spec = importlib.util.spec_from_file_location("screen_forms", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FORMS = load_forms()


@pytest.fixture(scope="module", params=[(1024, 4096), (48, 14336), (256, 384)], ids=["attention", "down", "tiny"])
def layer(request: pytest.FixtureRequest) -> Any:
    return FORMS.weights(*request.param, seed=3)


@pytest.mark.parametrize("form", FORMS.FORMS)
def test_each_stored_form_is_judged_as_the_table_says(tmp_path: Path, layer: Any, form: str) -> None:
    figures = FORMS.screened(form, tmp_path, layer)
    quantised = FORMS.FORMS[form][2]
    if quantised and form not in INVISIBLE:
        assert figures.groups < REFER
    else:
        assert figures.groups >= CLEAN


@pytest.mark.parametrize(("form", "row", "group"), [
    ("FP16", 0.82, 0.99), ("BF16, cast to FP16", 0.35, 0.95), ("FP32", 1.0, 1.0), ("half pruned", 0.79, 1.0),
    ("int6 per 128", 0.27, 0.29), ("int4 per 128", 0.11, 0.11), ("NF4 per 64", 0.16, 0.23),
    ("int4 per 32", 0.35, 0.38), ("FP8 (E4M3) per channel", 0.04, 0.52), ("int4 per 128, 5 % noise", 0.80, 0.97),
])  # fmt: skip
def test_the_figures_are_those_that_the_thresholds_were_set_by(
    tmp_path: Path, form: str, row: float, group: float
) -> None:
    figures = FORMS.screened(form, tmp_path, FORMS.weights(256, 4096))
    assert figures.rows == pytest.approx(row, abs=0.08)
    assert figures.groups == pytest.approx(group, abs=0.06)


def test_zeros_of_either_sign_are_left_out() -> None:
    assert distinct_share([0] * 100 + list(range(1, 65))) == 1.0
    assert distinct_share([0] * 100 + [1] * 64) == 1 / 64
    assert distinct_share([1, 2, 3]) is None
    assert distinct_share([0] * 128) is None


def test_zeros_below_zero_are_zeros(tmp_path: Path) -> None:
    import numpy as np

    w = FORMS.weights(64, 256)
    w[:, ::2] = -0.0
    FORMS.store(tmp_path / "a.safetensors", w, "F16")
    figures = screen_tensor(read_header(tmp_path / "a.safetensors")[0], seed=5)
    assert figures is not None and figures.groups > CLEAN
    FORMS.store(tmp_path / "b.safetensors", np.zeros((64, 256)), "F16")
    assert screen_tensor(read_header(tmp_path / "b.safetensors")[0], seed=5) is None


def test_which_rows_are_read_follows_from_the_seed() -> None:
    assert len(sampled_rows(14336, 0)) == ROWS
    assert sampled_rows(14336, 1) != sampled_rows(14336, 2)
    assert list(sampled_rows(3, 12345)) == [0, 1, 2]
    assert all(0 <= row < 100 for seed in range(50) for row in sampled_rows(100, seed))


def test_rows_are_the_stored_bits(tmp_path: Path) -> None:
    import numpy as np

    w = FORMS.weights(8, 16)
    FORMS.store(tmp_path / "a.safetensors", w, "F16")
    (tensor,) = read_header(tmp_path / "a.safetensors")
    (row,) = read_rows(tensor, [5])
    assert row == array("H", w[5].astype(np.float16).tobytes())


@pytest.mark.parametrize(("name", "dtype", "shape", "linear"), [
    ("model.layers.0.mlp.up_proj.weight", "F16", (8, 8), True), ("lm_head.weight", "F32", (8, 8), True),
    ("model.embed_tokens.weight", "F16", (8, 8), False), ("model.norm.weight", "F16", (8,), False),
    ("a.weight", "I8", (8, 8), False), ("a.weight", "F16", (0, 8), False), ("a.bias", "F16", (8, 8), False),
])  # fmt: skip
def test_what_a_linear_weight_is(name: str, dtype: str, shape: tuple[int, ...], linear: bool) -> None:
    assert is_linear(Tensor(name, dtype, shape, Path("a"), 0, 0)) is linear


def test_only_a_reviewer_is_asked_and_gets_the_figures(package: Any, rules: Rules) -> None:
    def quantise(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                scale = tensor.float().abs().max() / 7
                tensors[name] = ((tensor.float() / scale).round() * scale).half()

    package.edit_tensors(quantise)
    assert check(package.path, rules) == []
    (found,) = check(package.path, rules, values=True)
    assert (found.code, found.severity) == ("QNT-05", "R")
    assert found.evidence["per_128"] < REFER and len(found.evidence["lowest"]) == 3
    assert sum(found.evidence["histogram"]) == len(found.evidence["tensors"])
    assert all(name in found.what for name in found.evidence["lowest"])


def test_memory_stays_bounded_and_one_large_tensor_is_quick(tmp_path: Path, write_zeros: Any) -> None:
    """A gibibyte of weights is looked at in a few mebibytes."""
    write_zeros(tmp_path / "a.safetensors", {"a.weight": (1 << 17, 1 << 12)}, dtype="F16")
    (tensor,) = read_header(tmp_path / "a.safetensors")
    tracemalloc.start()
    try:
        assert not_finite(tensor) == 0 and screen_tensor(tensor, 0) is None
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_of_a_row_without_end_few_values_are_read(tmp_path: Path, write_zeros: Any) -> None:
    write_zeros(tmp_path / "a.safetensors", {"a.weight": (2, 1 << 28)}, dtype="F16")
    (tensor,) = read_header(tmp_path / "a.safetensors")
    assert [len(row) for row in read_rows(tensor, [0, 1], seed=12345)] == [1 << 16] * 2
