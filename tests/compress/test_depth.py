from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.depth import Depth
from edgelm.compress.stream.model import Model
from edgelm.errors import BadOption
from edgelm.plugins import parse, spec_of
from edgelm.shapes import shape_of

WRITERS = ("self_attn.o_proj", "self_attn.dense", "attn.c_proj", "mlp.down_proj", "mlp.fc2", "mlp.c_proj")


def silence(layer: int) -> Any:
    """Make a layer add nothing to the stream."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if name.rpartition(".")[0].endswith(tuple(f".{layer}.{writer}" for writer in WRITERS)):
                tensor.zero_()

    return change


@pytest.mark.parametrize("score", ["bi", "angle", "kl"])
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
        old = re.sub(r"\.(\d+)\.", lambda number: f".{kept[int(number[1])]}.", name)
        assert piece is before[old]


def test_angle_drops_a_block(model: Model, batches: list[list[int]], silent: Progress) -> None:
    record = Depth(2, score="angle").apply(model, batches, silent)
    assert record["dropped"] == [1, 2]  # the only block of two between the first and the last of four layers
    assert len(record["scores"]) == 3


@pytest.mark.parametrize("score", ["bi", "angle", "kl"])
def test_order_of_sequences_does_not_matter(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, score: Any
) -> None:
    step = Depth(2, score=score, force=True)
    one, two = (step.apply(opened(checkpoint), text, silent) for text in (batches, batches[::-1]))
    assert one == two


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
    assert caught.value.mend == "drop at most 1"  # which is let through without force, too
    assert Depth(1).plan({"num_hidden_layers": 5}) == {"num_hidden_layers": 4}


def test_keep_says_how_many_stay(model: Model, batches: list[list[int]], silent: Progress) -> None:
    step = Depth(keep=3)
    assert step.plan(model.config) == Depth(1).plan(model.config)
    record = step.apply(model, batches, silent)
    assert (len(record["dropped"]), model.layers) == (1, 3)
    assert step.idle(model.config) and not Depth(keep=2).idle(model.config)
    assert record["warnings"] == ["depth: 1 of 4 layers removed; above 15% free generation suffers first"]
    with pytest.raises(BadOption, match=r"keep=9 .* 8 layers"):
        Depth(keep=9).plan({"num_hidden_layers": 8})
    with pytest.raises(BadOption, match="keep=5 removes 38%") as caught:
        Depth(keep=5).plan({"num_hidden_layers": 8})
    assert caught.value.mend == "keep at least 6, or add force=1: depth:keep=5,force=1"


@pytest.mark.parametrize(("protect", "free"), [
    ("first:1+last:1", range(1, 7)), ("last:3", range(5)), ("first:2", range(2, 8)), ("last:2+first:0", range(6)),
    ("", range(1, 8)),
])  # fmt: skip
def test_protected_layers_stay(protect: str, free: range) -> None:
    step = parse("compress", f"depth:drop={len(free)},protect={protect},force=1")
    assert parse("compress", spec_of(step)) == step
    config = {"num_hidden_layers": 8}
    assert step.plan(config) == {"num_hidden_layers": 8 - len(free)}
    with pytest.raises(BadOption, match="is too much") as caught:
        Depth(len(free) + 1, protect=step.protect, force=True).plan(config)
    assert caught.value.mend == f"drop at most {len(free)}"


@pytest.mark.parametrize("score", ["bi", "angle", "kl"])
@pytest.mark.parametrize(("protect", "dropped"), [("first:2", [2, 3]), ("last:2", [0, 1]), ("first:1+last:1", [1, 2])])
def test_only_others_are_dropped(
    model: Model, batches: list[list[int]], silent: Progress, score: Any, protect: str, dropped: list[int]
) -> None:
    step = Depth(2, score=score, protect=tuple(protect.split("+")))
    assert step.apply(model, batches, silent)["dropped"] == dropped


@pytest.mark.parametrize("options", [
    "", "drop=2,keep=2", "drop=-1", "keep=0", "drop=1,protect=first", "drop=1,protect=middle:1", "drop=1,lr=0",
    "drop=1,protect=first:1+first:2", "drop=1,protect=last:-1", "drop=1,score_tokens=0", "drop=1,learn_tokens=0",
])  # fmt: skip
def test_impossible_options(options: str) -> None:
    with pytest.raises(BadOption, match=r"depth takes one|negative|no layer|not possible"):
        parse("compress", f"depth:{options}")


def test_layer_types_are_as_many_as_layers(
    make_checkpoint: Callable[..., Path], opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    base = Checkpoint(make_checkpoint("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=2))
    assert base.config["layer_types"] == ["full_attention"] * 2 + ["sliding_attention"] * 2
    unsure = ("layer_types", "max_window_layers")
    for score in ("bi", "angle", "kl"):
        model = opened(base)
        planned = Depth(1, score=score).plan(base.config)
        [dropped] = Depth(1, score=score).apply(model, batches, silent)["dropped"]
        assert len(planned["layer_types"]) == len(model.config["layer_types"]) == 3
        assert [{**config, **dict.fromkeys(unsure)} for config in (planned, model.config)] == 2 * [
            {**base.config, "num_hidden_layers": 3, **dict.fromkeys(unsure)}
        ]
        assert shape_of(planned) == shape_of(model.config)
        kept = [kind for layer, kind in enumerate(base.config["layer_types"]) if layer != dropped]
        assert model.config["layer_types"] == kept
        assert model.config["max_window_layers"] == kept.count("full_attention")


def test_replaced_is_as_planned(
    make_checkpoint: Callable[..., Path], opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    model = opened(Checkpoint(make_checkpoint("llama", num_hidden_layers=6)))
    before = dict(model.pieces)
    step = Depth(2, score="angle", replace=True, learn_tokens=500, force=True)
    planned = step.plan(model.config)
    record = step.apply(model, batches, silent)
    first, second = record["dropped"]
    assert second == first + 1 and first >= 2
    [replaced] = record["replaced"]
    assert (replaced["layer"], replaced["stands_for"]) == (first - 1, [first, second])
    assert model.config == planned
    new = [name for name in model.names if model.pieces[name] not in before.values()]
    assert new == [name for name in model.names if f".{first - 1}." in name]  # the others keep their bytes
    with pytest.raises(BadOption, match="too much") as caught:
        Depth(4, replace=True, force=True).plan({"num_hidden_layers": 6})
    assert caught.value.mend == "drop at most 3" and "stand for it" in caught.value.why


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
