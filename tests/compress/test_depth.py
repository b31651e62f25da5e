from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.depth import Depth, similarity
from edgelm.compress.stream.model import Model
from edgelm.errors import BadOption
from edgelm.plugins import parse, spec_of
from edgelm.shapes import shape_of
from edgelm.stock import load_model

WRITERS = ("self_attn.o_proj", "self_attn.dense", "mlp.down_proj", "mlp.fc2")


def silence(layer: int) -> Any:
    """Make a layer add nothing to the stream."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if name.rpartition(".")[0] in [f"model.layers.{layer}.{writer}" for writer in WRITERS]:
                tensor.zero_()

    return change


@pytest.mark.parametrize("score", ["bi", "angle"])
def test_inert_layer_goes_first(
    base: Checkpoint, edit: Any, opened: Any, logits: Any, batches: list[list[int]], silent: Progress, score: Any
) -> None:
    model = opened(edit(base, silence(2)))
    before = logits(model, batches[0])
    record = Depth(1, score=score).apply(model, batches, silent)
    assert record["dropped"] == [2]
    assert record["scores"][2] < 1e-6
    assert all(other > 1e-3 for layer, other in enumerate(record["scores"]) if layer != 2)
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-5)


def test_kept_layers_are_where_they_were(model: Model, batches: list[list[int]], silent: Progress) -> None:
    before = dict(model.pieces)
    record = Depth(2).apply(model, batches, silent)
    kept = [number for number in range(4) if number not in record["dropped"]]
    assert model.config["num_hidden_layers"] == model.layers == 2
    assert set(model.pieces) == set(shape_of(model.config).tensors)
    for name, piece in model.pieces.items():
        number = re.match(r"model\.layers\.(\d+)\.", name)
        old = name if number is None else name.replace(number[0], f"model.layers.{kept[int(number[1])]}.")
        assert piece is before[old]


def test_angle_drops_a_block(model: Model, batches: list[list[int]], silent: Progress) -> None:
    record = Depth(2, score="angle").apply(model, batches, silent)
    assert record["dropped"] == [1, 2]  # the only block of two between the first and the last of four layers
    assert len(record["scores"]) == 3


def test_order_of_sequences_does_not_matter(model: Model, batches: list[list[int]], silent: Progress) -> None:
    one, two = similarity(model, batches, 1, silent), similarity(model, batches[::-1], 1, silent)
    assert one == pytest.approx(two, rel=1e-12)


def test_similarity_is_that_of_the_models_own_states(
    checkpoint: Checkpoint, model: Model, batches: list[list[int]], silent: Progress
) -> None:
    found = similarity(model, batches[:1], 2, silent)
    states = (
        load_model(checkpoint, torch.float32).model(torch.tensor(batches[:1]), output_hidden_states=True).hidden_states
    )
    expected = [torch.cosine_similarity(states[n][0, 1:], states[n + 2][0, 1:]).mean().item() for n in range(2)]
    assert found[:2] == pytest.approx(expected, abs=1e-6)  # the last state is normalised by transformers


def test_plan() -> None:
    config = {"num_hidden_layers": 6, "layer_types": list("abcdef"), "max_window_layers": 5}
    assert Depth(2, force=True).plan(config) == {
        "num_hidden_layers": 4,
        "layer_types": list("abcd"),
        "max_window_layers": 4,
    }
    assert config["num_hidden_layers"] == 6
    assert Depth(0).idle(config)
    with pytest.raises(BadOption, match=r"depth:drop=9 .* 5 layers") as caught:
        Depth(9).plan({"num_hidden_layers": 5})
    assert caught.value.mend == "drop at most 3"
    with pytest.raises(BadOption, match="negative"):
        Depth(-1)


@pytest.mark.parametrize(("drop", "layers"), [(1, 3), (2, 4), (9, 32)])
def test_more_than_a_quarter_needs_force(drop: int, layers: int) -> None:
    config = {"num_hidden_layers": layers}
    with pytest.raises(BadOption, match=f"drop={drop} removes") as caught:
        Depth(drop).plan(config)
    assert f"depth:drop={drop},force=1" in caught.value.mend
    assert parse("compress", f"depth:drop={drop},force=1").plan(config) == {"num_hidden_layers": layers - drop}
    quarter = Depth(layers // 4)
    assert quarter.idle(config) or quarter.plan(config) == {"num_hidden_layers": layers - layers // 4}
    assert parse("compress", spec_of(Depth(drop, force=True))) == Depth(drop, force=True)
