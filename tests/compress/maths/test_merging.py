"""The two looks at a layer, with the streams of a stock layer that is merged between them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.maths.attention import Attention
from edgelm.compress.maths.merging import Merging
from edgelm.compress.stream.layer import Layer
from edgelm.compress.stream.model import Model
from edgelm.errors import Unsupported

CASES = [("llama", "svd"), ("llama", "mean"), ("qwen2", "svd"), ("qwen3", "mean"), ("phi", "svd"), ("phi", "mean")]


def watched(model: Model, tokens: list[list[int]], tensors: dict[str, Tensor], groups: int) -> list[dict[str, Tensor]]:
    """What the projections and the output matrix of the first layer are given, if it has these tensors."""
    layer = Layer({**model.config, "num_key_value_heads": groups}, 0, tensors)
    modules = ["self_attn.q_proj", Attention.of(model.config).output]
    seen = [layer.watch(model.enter(sequence), modules)[1] for sequence in tokens]
    return [{name: given[1:] for name, given in one.items()} for one in seen]


def tokens(seen: dict[str, Tensor]) -> list[int]:
    return [len(next(iter(seen.values())))]


@pytest.mark.parametrize(("kind", "merge"), CASES)
def test_repair_never_raises_the_error_that_is_measured(
    make_checkpoint: Any, batches: list[list[int]], kind: str, merge: Any
) -> None:
    model = Model.of(Checkpoint(make_checkpoint(kind, num_attention_heads=4, num_key_value_heads=4)))
    layer = model.layer(0)
    before = watched(model, batches, layer.tensors, 4)
    collector = Merging(layer, 0, 2, model.config, merge)
    for seen in before:
        collector.add(seen, seen, tokens(seen))
    change = collector.finish()
    assert change.then is not None
    merged = layer.tensors | dict(change.tensors)
    after = watched(model, batches, merged, 2)
    for base, now in zip(before, after, strict=True):
        change.then.add(base, now, tokens(now))
    repair = change.then.finish()

    output = Attention.of(model.config).output
    wanted = torch.cat([base[output] for base in before]) @ layer.tensors[f"{output}.weight"].T
    given = torch.cat([now[output] for now in after])
    assert 0 < change.record["key_error"] < 1
    assert 0 < change.record["value_error"] < 1
    shift = repair.tensors.get(f"{output}.bias", torch.zeros(())) - layer.tensors.get(f"{output}.bias", torch.zeros(()))
    for name, weight, moved in (
        ("error_merged", merged[f"{output}.weight"], torch.zeros(())),
        ("error", repair.tensors[f"{output}.weight"], shift),
    ):
        measured = float((wanted - given @ weight.T - moved).square().sum() / wanted.square().sum())
        assert repair.record[name] == pytest.approx(measured, rel=1e-4)
    assert repair.record["error"] < repair.record["error_merged"]
    assert repair.record["warnings"] == []
    assert set(repair.tensors) == {name for name in layer.tensors if name.startswith(output)}


def test_few_tokens_are_a_warning(make_checkpoint: Any, batches: list[list[int]]) -> None:
    model = Model.of(Checkpoint(make_checkpoint("llama")))
    layer = model.layer(0)
    collector = Merging(layer, 0, 1, model.config, "svd")
    before = watched(model, batches[:1], layer.tensors, 2)
    collector.add(before[0], before[0], tokens(before[0]))
    change = collector.finish()
    assert change.then is not None
    after = watched(model, batches[:1], layer.tensors | dict(change.tensors), 1)
    change.then.add(before[0], after[0], tokens(after[0]))
    assert "39 calibration tokens are fewer than 128" in change.then.finish().record["warnings"][0]


@pytest.mark.parametrize("where", ["inputs", "weights"])
def test_what_is_no_number_names_the_layer(make_checkpoint: Any, batches: list[list[int]], where: str) -> None:
    model = Model.of(Checkpoint(make_checkpoint("qwen2")))
    tensors = model.layer_tensors(0)
    [seen] = watched(model, batches[:1], tensors, 2)
    spoilt = seen["self_attn.q_proj"] if where == "inputs" else tensors["self_attn.k_proj.weight"]
    spoilt[0, 0] = torch.nan
    collector = Merging(SimpleNamespace(tensors=tensors), 5, 1, model.config, "svd")  # type: ignore[arg-type]
    collector.add(seen, seen, tokens(seen))
    with pytest.raises(Unsupported, match="layer 5 computes infinities or NaN"):
        collector.finish()
