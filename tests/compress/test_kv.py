from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.kv import Kv
from edgelm.compress.stream.model import Model
from edgelm.errors import BadOption, Unsupported
from edgelm.plugins import parse, spec_of


def copied(tensors: dict[str, Tensor]) -> None:
    """Make every second key/value head (of 16 dimensions) a copy of the one before it."""
    for name, tensor in tensors.items():
        if ".k_proj." in name or ".v_proj." in name:
            heads = tensor.unflatten(0, (-1, 2, 16))
            heads[:, 1] = heads[:, 0]


def as_stock(model: Model) -> Any:
    """The stock class with what the model is by now."""
    stock = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**model.config)).eval()
    stock.load_state_dict({name: model.outer(name).float() for name in model.names})
    return stock


@pytest.mark.parametrize("merge", ["svd", "mean"])
def test_copies_become_one_head(
    make_checkpoint: Any, edit: Any, opened: Any, logits: Any, family: str, batches: list[list[int]],
    silent: Progress, merge: Any,
) -> None:  # fmt: skip
    if family == "qwen3" and merge == "svd":
        pytest.skip("queries and keys that pass a norm are refused by svd")
    model = opened(edit(Checkpoint(make_checkpoint(family, num_key_value_heads=4)), copied))
    before = logits(model, batches[0])
    record = Kv(2, merge).apply(model, batches, silent)
    assert model.config["num_key_value_heads"] == 2
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-4)
    assert torch.allclose(as_stock(model)(input_ids=torch.tensor([batches[0]])).logits[0], before, atol=1e-4)
    for name in ("key_error", "value_error", "error_merged", "error"):
        assert len(record[name]) == 4
        assert max(record[name]) < 1e-6


def test_error_falls_with_the_number_of_heads(
    make_checkpoint: Any, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    base = Checkpoint(make_checkpoint("llama", num_key_value_heads=4))
    records = [Kv(heads).apply(opened(base), batches, silent) for heads in (1, 2)]
    for name in ("key_error", "value_error"):
        assert records[0][name][0] > records[1][name][0]  # of the first layer, before the streams part
    for record in records:
        assert all(error < merged for error, merged in zip(record["error"], record["error_merged"], strict=True))
        assert "want training" in record["warnings"][0]


def test_plan_and_spec() -> None:
    config = config_of("llama", 32, 8)
    assert Kv(4).plan(config) == config | {"num_key_value_heads": 4}
    assert config["num_key_value_heads"] == 8
    assert Kv(8).idle(config)
    assert Kv(8).plan(config) == config
    assert not Kv(4).idle(config)
    assert Kv(8).plan(config_of("phi", 32, None))["num_key_value_heads"] == 8  # not said: as many as queries
    assert spec_of(parse("compress", "kv:heads=4,merge=mean")) == "kv:heads=4,merge=mean"
    assert Kv(2, "mean").plan(config_of("qwen3", 8, 4))["num_key_value_heads"] == 2


def config_of(family: str, heads: int, groups: int | None) -> dict[str, Any]:
    return {
        "model_type": family, "vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": 16, "max_position_embeddings": 64,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "heads", "groups", "mend"),
    [
        (3, 32, 8, "give one of 1, 2, 4"), (0, 32, 8, "give one of 1, 2, 4"), (16, 32, 8, "give one of 1, 2, 4"),
        (-2, 32, 8, "give one of 1, 2, 4"), (4, 12, 6, "give one of 1, 2, 3"), (2, 4, 1, "leave the step out"),
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(wanted: int, heads: int, groups: int, mend: str) -> None:
    with pytest.raises(BadOption, match=f"kv:heads={wanted} does not fit {groups} key/value heads") as caught:
        Kv(wanted).plan(config_of("llama", heads, groups))
    assert caught.value.mend == mend


def test_normed_keys_are_refused_by_svd() -> None:
    config = config_of("qwen3", 8, 4)
    with pytest.raises(Unsupported, match="qwen3 model by svd") as caught:
        Kv(2).plan(config)
    assert caught.value.mend == "kv:heads=2,merge=mean"
    assert Kv(4).plan(config) == config
