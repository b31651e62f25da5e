from __future__ import annotations

from typing import Any

import pytest
import transformers
from huggingface_hub.errors import StrictDataclassClassValidationError

from edgelm.compress.maths.attention import Attention, plan_heads
from edgelm.errors import BadOption


def config_of(heads: int, groups: int, size: int, family: str = "llama", **more: Any) -> dict[str, Any]:
    return {
        "model_type": family, "vocab_size": 64, "hidden_size": heads * size, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": size,
        "max_position_embeddings": 64, **more,
    }  # fmt: skip


def test_layouts_of_the_families() -> None:
    assert Attention.of(config_of(8, 2, 8)) == Attention(8, 2, 8, 8, "self_attn.o_proj", normed=False, dividend=64)
    assert Attention.of(config_of(8, 2, 8, "qwen3")).normed
    phi2 = Attention.of(config_of(32, 32, 80, "phi", partial_rotary_factor=0.4))
    assert phi2 == Attention(32, 32, 80, 32, "self_attn.dense", normed=False, dividend=0)
    assert Attention.of(config_of(4, 4, 16, "phi")).rotated == 8  # a half, where the configuration does not say


@pytest.mark.parametrize(
    ("heads", "groups", "wanted", "left"),
    [
        (8, 2, 6, 2), (8, 2, 4, 2), (8, 2, 2, 2),  # each group loses as many
        (8, 4, 6, 3), (32, 8, 28, 7),  # whole groups where that cannot be
        (32, 8, 24, 8), (8, 8, 5, 5), (8, 1, 5, 1), (8, 2, 8, 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [8, 128])
def test_groups_stay_equal(heads: int, groups: int, wanted: int, left: int, size: int) -> None:
    config = config_of(heads, groups, size, "qwen2")
    planned = plan_heads(config, wanted)
    assert planned == config | {"num_attention_heads": wanted, "num_key_value_heads": left, "head_dim": size}
    assert wanted % left == 0
    assert Attention.of(planned) == Attention.of(config).pruned(wanted)


@pytest.mark.parametrize(
    ("heads", "groups", "size", "family", "wanted", "mend"),
    [
        (8, 2, 8, "qwen2", 5, "give one of 2, 4, 6"), (8, 2, 8, "phi", 0, "give one of 2, 4, 6"),
        (8, 2, 8, "qwen3", 10, "give one of 2, 4, 6"), (8, 2, 8, "llama", -2, "give one of 2, 4"),
        (8, 2, 8, "llama", 6, "give one of 2, 4"), (1, 1, 8, "llama", 2, "leave heads= out"),
        (14, 2, 64, "qwen2", 7, "give one of 2, 4, 6, 8, 10, 12"),  # 7 · 64 is no multiple of 128
        (16, 16, 32, "qwen2", 6, "give one of 4, 8, 12"),
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(heads: int, groups: int, size: int, family: str, wanted: int, mend: str) -> None:
    with pytest.raises(BadOption, match=f"width:heads={wanted} does not fit {heads} query heads") as caught:
        plan_heads(config_of(heads, groups, size, family), wanted)
    assert caught.value.mend == mend
    assert ("multiple of 128" in caught.value.why) == (heads * size >= 512)
    assert ("divide the width of" in caught.value.why) == (family == "llama")


def test_transformers_opens_no_llama_whose_heads_do_not_divide_its_width() -> None:
    """Why they are refused here: the class itself does, and those of the other families do not."""
    with pytest.raises(StrictDataclassClassValidationError, match="not a multiple"):
        transformers.LlamaConfig(**config_of(8, 2, 8) | {"num_attention_heads": 6})
    for family in ("qwen2", "qwen3", "phi"):
        transformers.AutoConfig.for_model(**config_of(8, 2, 8, family) | {"num_attention_heads": 6})


def test_heads_of_80_are_never_aligned() -> None:
    assert plan_heads(config_of(32, 32, 80, "phi"), 29)["num_attention_heads"] == 29
