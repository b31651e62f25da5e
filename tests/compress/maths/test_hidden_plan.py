from __future__ import annotations

from typing import Any

import pytest

from edgelm.compress.maths.hidden_plan import basis_for, planned
from edgelm.errors import BadOption

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
    "num_hidden_layers": 32, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192,
}  # fmt: skip
QWEN2 = LLAMA | {"model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4}
PHI = LLAMA | {"model_type": "phi", "hidden_size": 2560, "num_key_value_heads": 32}
SMALL = LLAMA | {"hidden_size": 64, "num_attention_heads": 4}
TIED = LLAMA | {"tie_word_embeddings": True}


def test_heads_keep_their_size_and_epsilon_its_proportion() -> None:
    assert planned(LLAMA | {"rms_norm_eps": 3e-5}, 3072) == LLAMA | {
        "hidden_size": 3072, "head_dim": 128, "rms_norm_eps": pytest.approx(4e-5)}  # fmt: skip
    assert planned(SMALL, 32) == SMALL | {"hidden_size": 32, "head_dim": 16, "rms_norm_eps": 2e-6}
    assert planned(PHI, 1280, heads=16) == PHI | {"hidden_size": 1280, "head_dim": 80, "layer_norm_eps": 2e-5}


def test_a_head_of_its_own() -> None:
    assert planned(TIED, 3072, untie=True) == planned(TIED, 3072) | {"tie_word_embeddings": False}
    assert planned(TIED, 3072)["tie_word_embeddings"] is True


@pytest.mark.parametrize(
    ("config", "untie", "basis"),
    [(LLAMA, False, "pca"), (QWEN2, False, "pca"), (TIED, False, "channels"), (TIED, True, "pca"),
     (PHI, False, "channels"), (PHI, True, "channels")],
)  # fmt: skip
def test_basis_by_default(config: dict[str, Any], untie: bool, basis: str) -> None:
    assert basis_for(config, None, untie=untie) == basis
    assert basis_for(config, "channels", untie=untie) == "channels"


def test_the_width_must_be_that_of_the_heads_where_runtimes_take_it_for_that() -> None:
    with pytest.raises(BadOption) as caught:
        planned(QWEN2, 3072)
    refused = "qwen2: hidden=3072 needs heads=24, because 28·128 ≠ 3072 is refused by llama.cpp and MLC"
    assert caught.value.what == refused
    assert planned(QWEN2, 3072, heads=24)["hidden_size"] == 3072
    assert planned(QWEN2 | {"num_attention_heads": 24, "head_dim": 128}, 3072)["hidden_size"] == 3072
    with pytest.raises(BadOption, match="phi: hidden=2240 needs heads=28"):
        planned(PHI, 2240)
    with pytest.raises(BadOption, match="phi: hidden=2304 fits no number of heads"):
        planned(PHI, 2304)
    assert planned(LLAMA | {"model_type": "qwen3", "head_dim": 128}, 3072)["hidden_size"] == 3072


@pytest.mark.parametrize(
    ("config", "hidden", "what", "mend"),
    [
        (LLAMA, 4224, "does not fit a model width of 4096", "multiple of 128"),
        (LLAMA, 0, "does not fit", "multiple of 128"),
        (LLAMA, 3000, "no multiple of 128", "2944 or 3072"),
        (SMALL, 50, "no multiple of 4", "48 or 52"),
        (PHI, 2248, "no multiple of 16", "2240 or 2256"),
    ],
)
def test_bad_widths_are_refused(config: dict[str, Any], hidden: int, what: str, mend: str) -> None:
    with pytest.raises(BadOption, match=what) as caught:
        planned(config, hidden)
    assert str(hidden) in caught.value.what
    assert mend in caught.value.mend


def test_what_cannot_be_turned_is_refused() -> None:
    with pytest.raises(BadOption, match="head is its embedding") as caught:
        planned(TIED, 3072, basis="pca")
    assert f"untie=1 for {128256 * 3072:,} parameters more" in caught.value.mend
    with pytest.raises(BadOption, match="cannot turn a phi"):
        planned(PHI, 2240, basis="pca", heads=28)


def test_a_width_that_stays_is_never_refused() -> None:
    odd = LLAMA | {"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3}
    assert planned(odd, 576)["hidden_size"] == 576
