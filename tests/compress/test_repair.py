from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.depth import Depth
from edgelm.compress.kv import Kv
from edgelm.compress.recipe import plan
from edgelm.compress.repair import Repair
from edgelm.compress.run import compress
from edgelm.compress.stream.model import Model
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption, Unsupported
from edgelm.plugins import parse, spec_of
from edgelm.shapes import shape_of

FAMILIES = ["llama", "qwen2", "qwen3", "phi"]


def cut(checkpoint: Checkpoint, opened: Any, batches: list[list[int]], step: Any, silent: Progress) -> Model:
    model: Model = opened(checkpoint)
    model.base = Model.of(checkpoint)
    step.apply(model, batches, silent)
    return model


def repaired(model: Model, batches: list[list[int]], silent: Progress, **options: float) -> dict[str, Any]:
    assert model.folder is not None
    model.folder = model.folder / "repair"
    model.folder.mkdir()
    return Repair(**options).apply(model, batches, silent)


def off(model: Model, batches: list[list[int]]) -> float:
    """How far the states that the head reads are from the base's, first tokens left out."""
    assert model.base is not None
    pairs = zip(model.final_states(batches, _nobody), model.base.final_states(batches, _nobody), strict=True)
    return sum(float((here - base)[1:].square().sum()) for here, base in pairs)


def _nobody(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("step", [Depth(1), Width(64), Width(heads=2), Kv(1, "mean")], ids=spec_of)
def test_the_stream_comes_nearer_to_the_bases(
    make_checkpoint: Any, opened: Any, family: str, batches: list[list[int]], silent: Progress, step: Any
) -> None:
    model = cut(Checkpoint(make_checkpoint(family)), opened, batches, step, silent)
    before, config = off(model, batches), dict(model.config)
    record = repaired(model, batches, silent)
    assert off(model, batches) < 0.9 * before
    assert model.config == config
    assert len(record["repaired"]) == len(record["error"]) == len(record["penalty"])
    assert {name: model.piece(name).shape for name in model.names} == model_shapes(model)


def model_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in shape_of(model.config).tensors.items()}


def test_bending_helps_where_channels_are_few(
    make_checkpoint: Any, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    left = []
    for bend in (0.0, 0.01):
        model = cut(checkpoint, opened, batches, Width(32), silent)
        left.append(repaired(model, batches, silent, ridge=0.01, bend=bend)["error"][-1])
    assert left[1] < 0.95 * left[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_model_keeps_its_bytes(
    make_checkpoint: Any, family: str, texts: list[TextSource], tmp_path: Path
) -> None:
    base = Checkpoint(make_checkpoint(family))
    made = compress(base, [Repair()], tmp_path / "out", texts=texts, tokens=300, sequence=40, dtype="keep")
    assert {name: tensor_bytes(made, name) for name in made.tensors} == {
        name: tensor_bytes(base, name) for name in base.tensors
    }
    assert made.card.model_dump()["steps"][-1]["repaired"] == []


def tensor_bytes(checkpoint: Checkpoint, name: str) -> bytes:
    return Model.of(checkpoint).outer(name).contiguous().view(torch.uint8).numpy().tobytes()


def test_layers_before_the_first_change_keep_their_bytes(
    make_checkpoint: Any, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    model = opened(checkpoint)
    model.base = Model.of(checkpoint)
    model.keep_layers([0, 1, 3])
    before = model.layer_tensors(0)
    record = repaired(model, batches, silent)
    assert record["repaired"] == [1, 2]  # the one before the gap, and the one behind it
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.layer_tensors(0).items())


def test_an_inert_layer_is_dropped_without_a_trace(
    make_checkpoint: Any, edit: Any, opened: Any, logits: Any, batches: list[list[int]], silent: Progress
) -> None:
    def inert(tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if ".layers.2." in name and ("o_proj" in name or "down_proj" in name):
                tensor.zero_()

    checkpoint = edit(Checkpoint(make_checkpoint("llama")), inert)
    model = cut(checkpoint, opened, batches, Depth(1), silent)
    before = logits(model, batches[0])
    repaired(model, batches, silent)
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-3)


def test_an_interrupted_repair_goes_on_to_the_same_bytes(
    make_checkpoint: Any, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    whole, again = (cut(checkpoint, opened, batches, Width(64), silent) for _ in range(2))
    repaired(whole, batches, silent)

    def killed(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repaired(again, batches, killed)
    Repair().apply(again, batches, silent)
    for name in whole.names:
        assert torch.equal(whole.outer(name), again.outer(name))


def test_options_that_make_no_sense_are_refused(make_checkpoint: Any) -> None:
    with pytest.raises(BadOption, match="ridge=0"):
        Repair(ridge=0)
    with pytest.raises(BadOption, match="bend=-1"):
        Repair(bend=-1)
    with pytest.raises(Unsupported, match="gpt2"):
        Repair().plan({"model_type": "gpt2"})
    assert spec_of(parse("compress", "repair:bend=0")) == "repair:bend=0.0"
    with pytest.raises(Unsupported, match="stream of 32"):
        plan(Checkpoint(make_checkpoint("llama")), [Width(hidden=32), Repair()])


def test_a_narrowed_stream_is_refused_in_planning(make_checkpoint: Any) -> None:
    base = Checkpoint(make_checkpoint("llama"))
    with pytest.raises(Unsupported, match="a stream of 48"):
        plan(base, [Width(hidden=48), Repair()])
    assert plan(base, [Repair(), Width(hidden=48)])[-1].shape.width == 48
