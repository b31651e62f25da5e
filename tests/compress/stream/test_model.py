from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.pieces import Piece
from edgelm.stock import load_model


def quiet(done: int, total: int) -> None:
    """A progress nobody watches."""


def forward(checkpoint: Checkpoint, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return load_model(checkpoint, torch.float32).model(torch.tensor([tokens]), use_cache=False)[0][0]


def test_layer_by_layer_is_the_forward_pass(base: Checkpoint, opened: Any, batches: list[list[int]]) -> None:
    model = opened(base)
    for tokens in batches[:2]:
        assert torch.equal(model.final_states([tokens], quiet)[0], forward(base, tokens))


def test_the_final_norm_is_read_once(model: Model, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    real, read = Piece.read, list[str]()
    monkeypatch.setattr(Piece, "read", lambda piece: read.append(piece.stored.name) or real(piece))
    model.final_states(batches, quiet)
    final = f"{model.called.inner}.{model.called.final}.weight"
    assert read.count(final) == 1


def test_each_layer_keeps_to_its_window(
    make_checkpoint: Callable[..., Path], opened: Any, batches: list[list[int]]
) -> None:
    checkpoint = Checkpoint(make_checkpoint("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=2))
    model = opened(checkpoint)
    assert set(model.enter(batches[0]).calls) == {"full_attention", "sliding_attention"}
    assert torch.equal(model.final_states(batches[:1], quiet)[0], forward(checkpoint, batches[0]))
    model.keep_layers([0, 3])
    assert model.config["layer_types"] == ["full_attention", "sliding_attention"]


def test_sequences_that_pass_together_do_not_see_each_other(
    model: Model, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = model.final_states(batches, quiet)
    monkeypatch.setattr(Model, "together", sum(map(len, batches)) // 3)
    assert 1 < len(model.enter_all(batches)) < len(batches)
    together = model.final_states(batches, quiet)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(alone, together, strict=True))


def test_first_tokens_are_left_out(model: Model, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "together", 10_000)
    (passage,) = model.enter_all(batches)
    kept = torch.cat([part[1:] for part in passage.x_TD.split([len(tokens) for tokens in batches])])
    assert torch.equal(passage.rest(passage.x_TD), kept)
    assert torch.equal(torch.cat([told["x"] for told in passage.telling({"x": passage.x_TD})]), kept)


def test_scaled_rotation_is_the_forward_pass(
    make_checkpoint: Callable[..., Path], opened: Any, batches: list[list[int]]
) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32}  # fmt: skip
    checkpoint = Checkpoint(make_checkpoint("llama", rope_parameters=rope))
    assert torch.equal(opened(checkpoint).final_states(batches[:1], quiet)[0], forward(checkpoint, batches[0]))


def test_watching_sees_what_modules_are_given(model: Model, batches: list[list[int]]) -> None:
    passage, layer = model.enter(batches[0]), model.layer(1)
    writer = "mlp.fc2" if model.config["model_type"] == "phi" else "mlp.down_proj"
    after, seen = layer.watch(passage, [writer, "self_attn.q_proj"])
    assert seen[writer].shape == (len(batches[0]), 128)
    assert seen["self_attn.q_proj"].shape == (len(batches[0]), 64)
    assert torch.equal(after.x_TD, layer.run(passage).x_TD)


def test_what_is_put_takes_the_place(model: Model, batches: list[list[int]]) -> None:
    name = "input_layernorm.weight"
    changed = 2 * model.layer_tensors(2)[name]
    model.put_layer(2, {name: changed})
    assert torch.equal(model.layer_tensors(2)[name], changed)
    model.keep_layers([2, 3])
    assert torch.equal(model.layer_tensors(0)[name], changed)


def test_half_precision_is_computed_in_half(checkpoint: Checkpoint, batches: list[list[int]]) -> None:
    states = Model.of(checkpoint, torch.float16).final_states(batches[:1], quiet)[0]
    assert states.dtype == torch.float16
    exact = Model.of(checkpoint).final_states(batches[:1], quiet)[0]
    assert torch.cosine_similarity(states.float().flatten(), exact.flatten(), dim=0) > 0.999
