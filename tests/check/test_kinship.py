"""Kinship of weights: what compression and training leave recognisable, and what is not related."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.fingerprint import Fingerprint, fingerprint, known_model
from edgelm.check.kinship import kinship, sample
from edgelm.check.run import check
from edgelm.check.signs import MOST_LINES, Line, Lookup, columns, role, rows, taken_columns, taken_rows
from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadFile, MissingInput
from edgelm.headers import read_header
from edgelm.rules import Rules

Tensors = dict[str, Any]
WIDE = {"hidden_size": 192, "intermediate_size": 256}


@pytest.fixture(scope="module")
def base(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("llama", **WIDE)


@pytest.fixture(scope="module")
def known(base: Path) -> Fingerprint:
    return fingerprint(Checkpoint(base))


def changed(base: Path, out: Path, change: Callable[[Tensors], Tensors | None]) -> Checkpoint:
    """The base with other tensors."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, out)
    tensors = load_file(out / "model.safetensors")
    tensors = change(tensors) or tensors
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "model.safetensors")
    return Checkpoint(out)


def each(change: Callable[[Any], Any]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: change(one) if one.ndim == 2 else one for name, one in tensors.items()}


def noise(share: float) -> Callable[[Any], Any]:
    def change(tensor: Any) -> Any:
        import torch

        return tensor + torch.randn(tensor.shape, generator=torch.Generator().manual_seed(5)) * tensor.std() * share

    return change


def low_rank(tensor: Any) -> Any:
    import torch

    u, s, v = torch.linalg.svd(tensor, full_matrices=False)
    kept = len(s) * 9 // 10
    return u[:, :kept] * s[:kept] @ v[:kept]


def without_layer(tensors: Tensors) -> Tensors:
    """Layers 1, 2, 3 move down to 0, 1, 2."""
    kept = {name: one for name, one in tensors.items() if ".layers.0." not in name}
    layers = {name.replace(f".{n}.", f".{n - 1}."): one for n in (1, 2, 3) for name, one in kept.items()
              if f".layers.{n}." in name}  # fmt: skip
    return layers | {name: one for name, one in kept.items() if ".layers." not in name}


def narrowed(tensors: Tensors) -> Tensors:
    """Half of the feed-forward goes: rows of two matrices, columns of the third."""

    def cut(name: str, one: Any) -> Any:
        if name.endswith(("gate_proj.weight", "up_proj.weight")):
            return one[::2]
        return one[:, ::2] if name.endswith("down_proj.weight") else one

    return {name: cut(name, one) for name, one in tensors.items()}


def narrow_stream(tensors: Tensors) -> Tensors:
    """Every third channel of the stream goes: columns of what reads it, rows of what writes it."""
    import torch

    kept = torch.tensor([channel for channel in range(192) if channel % 3])
    return {name: one[kept] if name.endswith(("o_proj.weight", "down_proj.weight")) else one[..., kept]
            for name, one in tensors.items()}  # fmt: skip


DESCENDANTS: dict[str, Callable[[Tensors], Tensors | None]] = {
    "equal": lambda tensors: None,
    "half precision": each(lambda one: one.half()),
    "bfloat16": each(lambda one: one.bfloat16()),
    "fine-tuned": each(noise(0.1)),
    "quantised to 4 bits": each(lambda one: (one / one.abs().max() * 7).round() * one.abs().max() / 7),
    "half pruned": each(lambda one: one * (one.abs() > one.abs().median())),
    "rescaled": each(lambda one: one * 0.37),
    "low rank": each(low_rank),
    "a layer dropped": without_layer,
    "feed-forward narrowed": narrowed,
    "stream narrowed": narrow_stream,
    "vocabulary trimmed": lambda tensors: {n: t[::2] if n in ("lm_head.weight", "model.embed_tokens.weight") else t
                                           for n, t in tensors.items()},
}  # fmt: skip


@pytest.mark.parametrize("what", DESCENDANTS)
def test_descendants_are_recognised(base: Path, known: Fingerprint, tmp_path: Path, what: str) -> None:
    found = kinship(changed(base, tmp_path / "a", DESCENDANTS[what]), known)
    assert found.found and len(found.related) >= 0.25 * found.looked_at, found


@pytest.mark.parametrize("seed", range(1, 6))
def test_models_of_the_same_shape_are_strangers(
    make_checkpoint: Callable[..., Path], known: Fingerprint, seed: int
) -> None:
    found = kinship(Checkpoint(make_checkpoint("llama", seed=seed, **WIDE)), known)
    assert not found.related, found


@pytest.mark.parametrize("change", [
    each(lambda one: one.abs()), each(lambda one: one * 0), each(lambda one: one * (one > one.std() * 2)),
], ids=["positive", "zero", "nearly all pruned"])  # fmt: skip
def test_lines_that_are_like_many_others_say_nothing(
    base: Path, make_checkpoint: Callable[..., Path], tmp_path: Path, change: Any
) -> None:
    known = fingerprint(changed(base, tmp_path / "a", change))
    stranger = changed(make_checkpoint("llama", seed=9, **WIDE), tmp_path / "b", change)
    assert not kinship(stranger, known).related


def test_a_fingerprint_is_a_small_file_that_stands_for_the_model(
    base: Path, known: Fingerprint, tmp_path: Path
) -> None:
    known.save(tmp_path / "base.json")
    assert known_model(tmp_path / "base.json") == known
    assert known_model(base).matrices == known.matrices
    assert (tmp_path / "base.json").stat().st_size < 64 << 10
    with pytest.raises(MissingInput):
        known_model(tmp_path / "absent")
    (tmp_path / "base.json").write_text("{}")
    with pytest.raises(BadFile):
        known_model(tmp_path / "base.json")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_lines_are_the_signs_of_stored_values(tmp_path: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    values = torch.randn(60, 200).to(getattr(torch, dtype))
    save_file({"a": values}, tmp_path / "a.safetensors")
    (tensor,) = read_header(tmp_path / "a.safetensors")
    digits = "".join("1" if value < 0 else "0" for value in values[7, :128])
    assert rows(tensor)[7] == Line(int(digits, 2), 128)
    digits = "".join("1" if value < 0 else "0" for value in values[:, 31])
    assert columns(tensor, [31]) == {31: Line(int(digits, 2), 60)}


def test_a_lookup_finds_lines_with_a_few_other_bits() -> None:
    line = Line(0x0123456789ABCDEF_FEDCBA9876543210, 128)
    lookup = Lookup([line])
    assert lookup.found({0: Line(line.bits ^ 0b10110, 128)}) == {line}
    assert lookup.found({0: Line(line.bits ^ (1 << 64) - 1, 128), 1: Line(line.bits, 64)}) == set()


def test_roles_are_names_without_layers() -> None:
    assert role("model.layers.12.mlp.up_proj.weight") == "model.layers.#.mlp.up_proj.weight"


def test_one_known_model_can_be_named_in_any_capitals(package: Any, rules: Rules) -> None:
    checkpoint = package.model / "checkpoint"
    assert check(package.path, rules, bases={"Tiny/BASE": checkpoint}) == []
    (found,) = check(package.path, rules, bases={"other/base": checkpoint})
    assert found.code == "MDL-06" and "which the card does not name" in found.what
    assert json.dumps(found.evidence)


@pytest.mark.parametrize("shape", [(48, 2_000_000), (2_000_000, 48)])
def test_of_a_matrix_with_millions_of_lines_some_are_taken(
    tmp_path: Path, write_zeros: Any, shape: tuple[int, int]
) -> None:
    write_zeros(tmp_path / "a.safetensors", {"a": shape}, dtype="F16")
    (tensor,) = read_header(tmp_path / "a.safetensors")
    for taken, side in ((taken_rows(tensor), shape[0]), (taken_columns(tensor), shape[1])):
        assert len(taken) == min(side, MOST_LINES)
        assert set(taken) <= set(range(side)) and max(taken) >= side * 0.97


def test_narrow_matrices_are_not_looked_at(base: Path, tmp_path: Path) -> None:
    import torch

    wide = len(sample(Checkpoint(base)))
    more = changed(base, tmp_path / "more", lambda tensors: tensors | {"thin": torch.zeros(47, 1000)})
    assert len(sample(more)) == wide
