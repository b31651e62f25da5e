"""Tensors: planned from headers, in llama.cpp's rotary order, a few rows at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.testing import assert_allclose, assert_array_equal

from edgelm.checkpoint import Checkpoint
from edgelm.deploy import gguf_tensors
from edgelm.deploy.gguf_metadata import FAMILIES
from edgelm.deploy.gguf_tensors import interleave, plan, rope_factors
from edgelm.errors import BadFile, MissingInput, Unsupported
from edgelm.shapes import shape_of


def exports(folder: Path, dtype: str = "F16") -> list[gguf_tensors.Export]:
    checkpoint = Checkpoint(folder)
    return plan(checkpoint, FAMILIES[checkpoint.shape.family], dtype)


def resave(folder: Path, **changes: np.ndarray | None) -> None:
    """Save the weights again with some tensors replaced, added, or left out (None); dots are written as `__`."""
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    for name, value in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if value is not None:
            tensors[name.replace("__", ".")] = value
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")


def test_interleaving_leaves_scores_after_rotation_as_they_were() -> None:
    """Rotating neighbours of interleaved rows equals interleaving what was rotated by halves."""
    values, angles = np.random.default_rng(0).standard_normal((3, 8)), np.arange(4) + 0.5
    x, y = values[:, :4], values[:, 4:]
    halves = np.concatenate([x * np.cos(angles) - y * np.sin(angles), x * np.sin(angles) + y * np.cos(angles)], axis=1)
    pairs, rotated = (interleave(rows.reshape(-1), 8).reshape(3, 4, 2) for rows in (values, halves))
    assert_allclose(pairs[..., 0] * np.cos(angles) - pairs[..., 1] * np.sin(angles), rotated[..., 0])
    assert_allclose(pairs[..., 0] * np.sin(angles) + pairs[..., 1] * np.cos(angles), rotated[..., 1])


@pytest.mark.parametrize("values", [1, 100, 4096, 1 << 22])
def test_the_size_of_a_chunk_does_not_matter(
    make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch, values: int
) -> None:
    folder = make_checkpoint("llama", seed=1)
    whole = {export.name: np.concatenate(list(export.chunks())) for export in exports(folder)}
    monkeypatch.setattr(gguf_tensors, "CHUNK_VALUES", values)
    for export in exports(folder):
        parts = list(export.chunks())
        assert max(part.size for part in parts) <= max(values, 16 * 128)  # whole heads or rows are the least
        assert_array_equal(np.concatenate(parts), whole[export.name])
        assert sum(part.nbytes for part in parts) == export.bytes


def test_old_buffers_and_a_stored_copy_of_a_tied_head_are_left_out(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama", tied=True)
    before = [export.name for export in exports(folder)]
    resave(folder, model__layers__0__self_attn__rotary_emb__inv_freq=np.ones(8, np.float32),
           lm_head__weight=np.zeros((320, 64), np.float32))  # fmt: skip
    assert [export.name for export in exports(folder)] == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model__norm__weight": None}, MissingInput, r"lacks tensor model\.norm\.weight"),
        ({"model__norm__weight": np.ones(32, np.float32)}, BadFile, r"model\.norm\.weight has shape \(32,\)"),
        ({"model__norm__weight": np.ones(64, np.int8)}, Unsupported, "stored as I8"),
        ({"model__norm__bias": np.ones(64, np.float32)}, BadFile, r"holds tensor model\.norm\.bias"),
    ],
)
def test_weights_that_do_not_fit_the_configuration(
    make_checkpoint: Any, changes: dict[str, np.ndarray | None], error: type[Exception], message: str
) -> None:
    folder = make_checkpoint("llama")
    resave(folder, **changes)
    with pytest.raises(error, match=message):
        exports(folder)


def test_llama3_factors_turn_plain_frequencies_into_those_of_transformers() -> None:
    import torch
    import transformers
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip
    config = transformers.LlamaConfig(hidden_size=512, num_attention_heads=4, rope_parameters=rope)
    expected, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 500000.0 ** -(np.arange(0, 128, 2) / 128)
    settings = config.to_dict()
    factors = rope_factors(settings, shape_of(settings))
    assert factors is not None
    assert_allclose(plain / factors, expected.numpy(), rtol=1e-6)
    assert len(set(factors.round(6))) > 3  # untouched, divided, and in between


def test_llama3_factors_travel_as_a_tensor(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0,
                                 "high_freq_factor": 4.0, "original_max_position_embeddings": 64}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    last = exports(folder)[-1]
    (values,) = last.chunks()
    assert (last.name, last.shape, values.dtype) == ("rope_freqs.weight", (8,), np.float32)
    assert (values[0], values[-1]) == (1, 8)
