from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.model import Decoder


def walk(model: Decoder, tokens: list[int]) -> torch.Tensor:
    passage = model.enter(tokens)
    for layer in range(len(model.layers)):
        passage = model.run(layer, passage)
    final = model.network.model.final_layernorm if hasattr(model.network.model, "final_layernorm") else None
    return (final or model.network.model.norm)(passage.x_TD)


def test_walking_the_layers_is_the_forward_pass(decoder: Decoder, batches: list[list[int]]) -> None:
    assert torch.equal(walk(decoder, batches[0]), decoder.final_states(batches[0]))


def test_walking_keeps_to_each_layers_window(make_checkpoint: Callable[..., Path], batches: list[list[int]]) -> None:
    folder = make_checkpoint("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=2)
    model = Decoder.load(Checkpoint(folder))
    assert set(model.enter(batches[0]).calls) == {"full_attention", "sliding_attention"}
    assert torch.equal(walk(model, batches[0]), model.final_states(batches[0]))
    model.keep_layers([0, 3])
    assert model.config["layer_types"] == ["full_attention", "sliding_attention"]
    assert torch.equal(walk(model, batches[0]), model.final_states(batches[0]))


def test_watching_sees_what_the_writer_reads(decoder: Decoder, batches: list[list[int]]) -> None:
    passage = decoder.enter(batches[0])
    after, hidden_TF = decoder.run_watching(1, passage)
    assert hidden_TF.shape == (len(batches[0]), 128)
    assert torch.equal(after.x_TD, decoder.run(1, passage).x_TD)


def test_narrowing_replaces_modules(decoder: Decoder) -> None:
    writer = decoder.writer(0)
    before = writer.weight.clone()
    kept = torch.arange(0, 128, 2)
    decoder.narrow(0, kept, 2 * before[:, kept], torch.ones(64))
    assert torch.equal(writer.weight, before)
    assert torch.equal(decoder.writer(0).weight, 2 * before[:, kept])
    if writer.bias is not None:
        assert torch.equal(decoder.writer(0).bias, writer.bias + 1)
    assert decoder.config["intermediate_size"] == 64
