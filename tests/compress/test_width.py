from __future__ import annotations

from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.base import FAMILIES, Progress
from edgelm.compress.config import portable
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.writing import write_weights
from edgelm.compress.width import Width
from edgelm.errors import BadFile, BadOption
from edgelm.plugins import parse
from edgelm.shapes import shape_of
from edgelm.stock import load_model

SCORES = ["obs", "act", "wact"]
DEAD = torch.arange(3, 128, 4)  # 32 of 128


def never_active(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith("mlp.up_proj.weight"):
            tensor[DEAD] = 0
        if name.endswith("mlp.fc1.weight"):
            tensor[DEAD] = 0
        if name.endswith("mlp.fc1.bias"):
            tensor[DEAD] = -100


def never_read(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith(("mlp.down_proj.weight", "mlp.fc2.weight")):
            tensor[:, DEAD] = 0


@pytest.mark.parametrize("update", ["ls", "none"])
@pytest.mark.parametrize(
    ("change", "score"), [(never_active, score) for score in SCORES] + [(never_read, "obs"), (never_read, "wact")]
)
def test_dead_channels_go_first(
    make_checkpoint: Any,
    edit: Any,
    opened: Any,
    logits: Any,
    family: str,
    batches: list[list[int]],
    silent: Progress,
    change: Any,
    score: Any,
    update: Any,
) -> None:
    base = edit(Checkpoint(make_checkpoint(family)), change)
    model = opened(base)
    reader = f"mlp.{FAMILIES[family].readers[0]}.weight"
    readers = [model.layer_tensors(number)[reader] for number in range(4)]
    before = logits(model, batches[0])
    Width(96, score=score, update=update).apply(model, batches, silent)
    alive = [channel for channel in range(128) if channel not in DEAD]
    for number, weight in enumerate(readers):
        assert torch.equal(model.layer_tensors(number)[reader], weight[alive])
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-4)


@pytest.mark.parametrize("score", SCORES)
def test_refitting_never_raises_the_error(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, score: Any
) -> None:
    """One layer's error depends on the layers before it, so the first is compared."""
    refitted = Width(64, score=score).apply(opened(checkpoint), batches, silent)["ffn"]
    plain = Width(64, score=score, update="none").apply(opened(checkpoint), batches, silent)["ffn"]
    assert refitted["error"][0] < 0.9 * plain["error"][0]
    assert len(refitted["error"]) == len(refitted["penalty"]) == 4


def test_record_warns_of_few_tokens(model: Model, batches: list[list[int]], silent: Progress) -> None:
    assert "fewer than twice" in Width(64).apply(model, batches[:2], silent)["warnings"][0]


def test_plan() -> None:
    assert Width(96).plan({"intermediate_size": 128, "hidden_size": 64}) == {
        "intermediate_size": 96,
        "hidden_size": 64,
    }
    assert Width(172).idle({"intermediate_size": 172})
    assert Width(172).plan({"intermediate_size": 172}) == {"intermediate_size": 172}
    with pytest.raises(BadOption, match="nothing to narrow"):
        Width()


@pytest.mark.parametrize("option", ["basis=channels", "untie=1", "refit=1"])
def test_how_to_narrow_the_stream_asks_how_far(option: str) -> None:
    name = option.partition("=")[0]
    with pytest.raises(BadOption, match=f"width:{name} says how") as caught:
        parse("compress", f"width:ffn=96,heads=2,{option}")
    assert "hidden=" in caught.value.mend
    assert getattr(parse("compress", f"width:hidden=32,{option}"), name)


def test_all_three_at_once(
    make_checkpoint: Any, opened: Any, logits: Any, batches: list[list[int]], silent: Progress, tmp_path: Any
) -> None:
    """As planned, and what is written is what ran."""
    base = Checkpoint(make_checkpoint("qwen2", num_attention_heads=4, num_key_value_heads=2))
    step = Width(96, hidden=32, heads=2)
    model = opened(base)
    planned = step.plan(base.config)
    record = step.apply(model, batches, silent)
    assert model.config == planned
    assert list(record) == ["ffn", "hidden", "heads", "warnings"]
    assert {name: model.piece(name).shape for name in model.names} == shape_of(planned).tensors
    write_weights(model, tmp_path, torch.float32)
    write_config(tmp_path / "config.json", portable(planned, "float32"))
    network = load_model(Checkpoint(tmp_path), torch.float32)
    with torch.no_grad():
        assert torch.allclose(network(torch.tensor(batches[:1])).logits[0], logits(model, batches[0]), atol=1e-5)


def test_a_square_model_stays_square() -> None:
    config = {"model_type": "qwen2", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
              "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 100,
              "max_position_embeddings": 64}  # fmt: skip
    for wrong in (Width(hidden=32), Width(heads=2)):
        with pytest.raises(BadOption, match=r"refused by llama\.cpp and MLC"):
            wrong.plan(config)
    assert Width(hidden=32, heads=2).plan(config)["hidden_size"] == 32


@pytest.mark.parametrize(
    ("ffn", "of", "what", "mend"),
    [
        (200, 172, "does not fit a feed-forward width of 172", "multiple of 4"),
        (0, 172, "does not fit", "multiple of 4"),
        (-4, 172, "does not fit", "multiple of 4"),
        (126, 172, "no multiple of 4", "124 or 128"),
        (9000, 14336, "no multiple of 128", "8960 or 9088"),
        (600, 640, "no multiple of 128", "512 or 640"),
    ],
)
def test_bad_widths_are_refused(ffn: int, of: int, what: str, mend: str) -> None:
    with pytest.raises(BadOption, match=what) as caught:
        Width(ffn).plan({"intermediate_size": of})
    assert str(ffn) in caught.value.what
    assert mend in caught.value.mend


@pytest.mark.parametrize("score", SCORES)
def test_weights_that_are_no_numbers_name_the_layer(
    make_checkpoint: Any, edit: Any, opened: Any, batches: list[list[int]], silent: Progress, score: Any
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.2.mlp.up_proj.weight"][0, 0] = torch.nan

    model = opened(edit(Checkpoint(make_checkpoint("llama")), spoil))
    with pytest.raises(BadFile, match=r"layers\.2\.mlp\.up_proj\.weight holds infinities or NaN"):
        Width(96, score=score).apply(model, batches, silent)


def test_heads_go_first_where_those_there_are_do_not_divide_the_width(
    make_checkpoint: Any, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    five = {"hidden_size": 80, "num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 16}
    model = opened(Checkpoint(make_checkpoint("llama", **five)))
    step = Width(hidden=64, heads=4)
    step.apply(model, batches, silent)
    assert model.config == {**step.plan(model.config), "rms_norm_eps": model.config["rms_norm_eps"]}
    assert (model.config["hidden_size"], model.config["num_attention_heads"]) == (64, 4)


def test_a_width_and_heads_that_no_order_reaches_are_refused_by_the_plan(make_checkpoint: Any) -> None:
    """6 heads do not divide the new width, 5 not the old one: either model in between would be none that loads."""
    six = {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 6}
    with pytest.raises(BadOption, match="heads=5 does not fit 6 query heads") as caught:
        Width(hidden=40, heads=5).plan(Checkpoint(make_checkpoint("llama", **six)).config)
    assert "divide the width of 48" in caught.value.why


@pytest.mark.parametrize("option", ["basis=channels", "untie=1", "refit=1"])
def test_how_to_narrow_a_stream_that_stays_is_refused(make_checkpoint: Any, option: str) -> None:
    step = parse("compress", f"width:hidden=64,ffn=96,{option}")
    with pytest.raises(BadOption, match="it is 64 wide already"):
        step.plan(Checkpoint(make_checkpoint("llama", tied=True)).config)
