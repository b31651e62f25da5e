from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import FAMILIES, Progress, Tokens
from edgelm.compress.kv import Kv
from edgelm.compress.search.axes import AXES
from edgelm.compress.search.candidates import Space
from edgelm.compress.search.probe import depth_costs, probe, spread, vocab_costs
from edgelm.compress.stream.model import Model
from edgelm.compress.width import Width

MakeCheckpoint = Callable[..., Path]
Open = Callable[[Checkpoint], Model]


def choices_of(checkpoint: Checkpoint) -> dict[str, list[int]]:
    return dict(Space.of(checkpoint.config, axes=AXES).choices)


def only(checkpoint: Checkpoint, edit: Any, layer: int) -> Checkpoint:
    """The model in which one layer alone writes into the stream."""

    def silence(tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            writes = any(word in name for word in ("o_proj", "down_proj", "dense", "fc2"))
            if writes and f"layers.{layer}." not in name:
                tensor.zero_()

    return edit(checkpoint, silence)


def moved(model: Model, before: Sequence[Tensor], batches: Sequence[Tokens]) -> float:
    """1 − cos of the stream behind the last layer to what it was, over all tokens but the first."""
    after = behind(model, batches)
    cosines = [torch.cosine_similarity(x[1:], y[1:], dim=-1) for x, y in zip(before, after, strict=True)]
    return float((1 - torch.cat(cosines)).mean())


def behind(model: Model, batches: Sequence[Tokens]) -> list[Tensor]:
    passages = [model.enter(tokens) for tokens in batches]
    for number in range(model.layers):
        passages = [model.layer(number).run(passage) for passage in passages]
    return [passage.x_TD for passage in passages]


def test_the_whole_costs_nothing_and_less_costs_more(
    checkpoint: Checkpoint, batches: list[Tokens], silent: Progress
) -> None:
    choices = choices_of(checkpoint)
    curves = probe(Model.of(checkpoint), batches, batches[:2], choices, silent)
    assert set(curves) == {field for field, values in choices.items() if len(values) > 1} >= {"layers", "ffn"}
    for field, curve in curves.items():
        costs = [curve(left) for left in choices[field]]
        assert costs[0] == 0
        assert costs == sorted(costs)
        assert costs[-1] > 0


def test_few_layers_stand_for_all(
    checkpoint: Checkpoint, batches: list[Tokens], silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost() -> float:
        return probe(Model.of(checkpoint), batches, batches[:2], {"ffn": [128, 64]}, silent)["ffn"](64)

    whole, layers = cost(), Model.of(checkpoint).layers
    ends = []
    for number in (0, layers - 1):
        monkeypatch.setattr("edgelm.compress.search.probe.spread", lambda _, number=number: {number})
        ends.append(cost())
    monkeypatch.setattr("edgelm.compress.search.probe.spread", lambda _: {0, layers - 1})
    assert cost() == pytest.approx(sum(ends) / 2)
    assert 0.5 < cost() / whole < 2


@pytest.mark.parametrize("layers", [1, 2, 8, 9, 28, 32, 80])
def test_they_are_spread_over_the_model(layers: int) -> None:
    tried = sorted(spread(layers))
    assert tried[0] == 0
    assert tried[-1] == layers - 1
    assert len(tried) == min(layers, 8)


def test_what_has_no_choice_is_not_looked_at(checkpoint: Checkpoint, batches: list[Tokens], silent: Progress) -> None:
    choices = {"vocab": [320], "layers": [4], "ffn": [128], "kv_heads": [2]}
    assert probe(Model.of(checkpoint), batches, batches[:2], choices, silent) == {}


@pytest.mark.parametrize("left", [32, 64, 96])
def test_channels_cost_what_the_step_says(
    checkpoint: Checkpoint, edit: Any, opened: Open, batches: list[Tokens], silent: Progress, left: int
) -> None:
    base = only(checkpoint, edit, 1)
    curve = probe(Model.of(base), batches, batches, {"ffn": [128, left]}, silent)["ffn"]
    record = Width(left).apply(opened(base), batches, silent)
    wrote, energy = written(Model.of(base), batches, f"mlp.{FAMILIES[base.config['model_type']].writer}")
    assert curve(left) == pytest.approx(0.5 * record["ffn"]["error"][1] * wrote / energy, rel=1e-4)


def test_heads_cost_what_the_step_does(
    checkpoint: Checkpoint, edit: Any, opened: Open, batches: list[Tokens], silent: Progress
) -> None:
    base = only(checkpoint, edit, 3)
    curve = probe(Model.of(base), batches, batches, {"kv_heads": [2, 1]}, silent)["kv_heads"]
    before, model = behind(Model.of(base), batches), opened(base)
    Kv(1, "mean" if base.shape.qk_norm else "svd").apply(model, batches, silent)
    assert curve(1) == pytest.approx(moved(model, before, batches), rel=1e-3)


def written(model: Model, batches: Sequence[Tokens], module: str) -> tuple[float, float]:
    """Of layer 1: the energy of what a module writes, without its bias, and of the stream behind it."""
    weight = model.layer_tensors(1)[f"{module}.weight"]
    wrote = energy = 0.0
    for tokens in batches:
        after, seen = model.layer(1).watch(model.layer(0).run(model.enter(tokens)), [module])
        wrote += float((seen[module][1:] @ weight.T).square().sum())
        energy += float(after.x_TD[1:].square().sum())
    return wrote, energy


def test_an_error_of_the_feed_forward_is_told_as_a_turn_of_the_stream(
    make_checkpoint: MakeCheckpoint, edit: Any, opened: Open, batches: list[Tokens], silent: Progress
) -> None:
    base = only(Checkpoint(make_checkpoint("llama", hidden_size=128)), edit, 3)
    before = behind(Model.of(base), batches)
    curve = probe(Model.of(base), batches, batches, {"ffn": [128, 96]}, silent)["ffn"]
    model = opened(base)
    Width(96).apply(model, batches, silent)
    assert curve(96) == pytest.approx(moved(model, before, batches), rel=0.2)


def test_layers_cost_their_turn(
    checkpoint: Checkpoint, edit: Any, opened: Open, batches: list[Tokens], silent: Progress
) -> None:
    base = only(checkpoint, edit, 1)
    curve = probe(Model.of(base), batches, batches, {"layers": [4, 3, 2]}, silent)["layers"]
    before = behind(Model.of(base), batches)
    model = opened(base)
    model.keep_layers([0, 3])
    assert curve(3) == pytest.approx(0, abs=1e-6)  # phi's bias alone is left of a silenced layer, and is silenced too
    assert curve(2) == pytest.approx(moved(model, before, batches), rel=1e-4)


def test_the_layers_that_turn_least_go_first() -> None:
    costs = depth_costs([9.0, 0.25, 0.5, 0.125, 9.0], [5, 4, 3, 2])
    assert costs == {5: 0, 4: 0.125, 3: 0.375, 2: 0.875}


def test_tokens_that_were_not_seen_are_not_free() -> None:
    counts = Counter({0: 6, 1: 2, 2: 1, 3: 1})
    costs = vocab_costs(counts, [10, 7, 4, 2])
    assert costs[10] == pytest.approx(0)
    assert costs[7] == pytest.approx(0.1)  # half of what was not seen, which has as much as what was seen once: 0.2
    assert costs[4] == pytest.approx(0.2)
    assert costs[2] == pytest.approx(0.2 + 0.8 * 0.2)
