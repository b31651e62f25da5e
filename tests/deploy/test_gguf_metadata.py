"""What llama.cpp can run is exported with the right keys; what it cannot is refused, and why is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest

from edgelm.deploy.gguf_metadata import family_of, write_metadata
from edgelm.errors import BadFile, Unsupported
from edgelm.shapes import shape_of

BASE = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


class Keys(gguf.GGUFWriter):
    """A writer that is only asked for its keys."""

    def __init__(self, arch: str) -> None:
        super().__init__(None, arch)

    def values(self) -> dict[str, Any]:
        return {name.partition(".")[2]: entry.value for name, entry in self.kv_data[0].items()}


def metadata(model_type: str, **changes: Any) -> dict[str, Any]:
    config = {"model_type": model_type, **BASE, **changes}
    shape = shape_of(config)
    family = family_of(config, shape)
    writer = Keys(gguf.MODEL_ARCH_NAMES[family.arch])
    write_metadata(writer, config, shape, family)
    return writer.values()


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_dimensions(family: str) -> None:
    found = metadata(family, rms_norm_eps=1e-5, rope_theta=1e6)
    assert found == {
        "architecture": family, "block_count": 2, "context_length": 256, "embedding_length": 64,
        "feed_forward_length": 128, "attention.head_count": 4, "attention.head_count_kv": 2,
        "attention.key_length": 16, "attention.value_length": 16, "vocab_size": 320,
        "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 16, "rope.freq_base": 1e6,
    }  # fmt: skip


def test_phi_rotates_a_part_of_each_head() -> None:
    found = metadata("phi", layer_norm_eps=1e-6, partial_rotary_factor=0.4, hidden_size=80)
    assert (found["architecture"], found["rope.dimension_count"], found["attention.key_length"]) == ("phi2", 8, 20)
    assert found["attention.layer_norm_epsilon"] == 1e-6
    assert metadata("phi")["rope.dimension_count"] == 8  # transformers takes 0.5 when nothing is said


@pytest.mark.parametrize("spelling", ["rope_parameters", "rope_scaling"])
def test_scaled_positions_in_both_spellings(spelling: str) -> None:
    kind = "rope_type" if spelling == "rope_parameters" else "type"
    found = metadata("llama", rope_theta=500.0, **{spelling: {kind: "linear", "factor": 4.0}})
    assert (found["rope.scaling.type"], found["rope.scaling.factor"], found["rope.freq_base"]) == ("linear", 4.0, 500.0)
    yarn = {kind: "yarn", "factor": 2.0, "original_max_position_embeddings": 128, "beta_fast": 16}
    found = metadata("qwen2", **{spelling: yarn})
    assert (found["rope.scaling.type"], found["rope.scaling.original_context_length"]) == ("yarn", 128)
    assert (found["rope.scaling.yarn_beta_fast"], found["rope.scaling.yarn_beta_slow"]) == (16, 1.0)


def test_of_both_spellings_the_one_that_transformers_reads_is_exported() -> None:
    new = {"rope_type": "default", "rope_theta": 2.0}
    assert metadata("llama", rope_theta=1.0, rope_parameters=new)["rope.freq_base"] == 2.0
    old = {"type": "linear", "factor": 4.0}
    found = metadata("llama", rope_theta=1.0, rope_parameters=new, rope_scaling=old)
    assert (found["rope.freq_base"], found["rope.scaling.type"], found["rope.scaling.factor"]) == (1.0, "linear", 4.0)


def test_a_head_size_of_its_own_is_kept() -> None:
    found = metadata("llama", head_dim=24, num_attention_heads=3, num_key_value_heads=1)
    assert (found["attention.key_length"], found["rope.dimension_count"]) == (24, 24)


@pytest.mark.parametrize(
    ("family", "changes", "why"),
    [
        ("qwen2", {"head_dim": 24}, "must be the width 64"),
        ("phi", {"head_dim": 24}, "must be the width 64"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("phi", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("qwen3", {"attention_bias": True}, "output has a bias"),
        ("phi", {"qk_layernorm": True}, "qk_layernorm"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}, "sliding window"),
        ("qwen2", {"layer_types": ["full_attention", "sliding_attention"]}, "sliding window"),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ("qwen2", {"rope_scaling": LLAMA_3}, "'llama3'"),
        ("llama", {"partial_rotary_factor": 0.5}, "only a part of each head"),
        ("qwen2", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.1}}, "attention factor"),
    ],
)
def test_what_llama_cpp_does_not_run_is_refused(family: str, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Unsupported) as caught:
        metadata(family, **changes)
    assert why in caught.value.why
    assert caught.value.mend


@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3"])
def test_a_scaling_without_its_factor_is_refused(kind: str) -> None:
    with pytest.raises(BadFile, match="factor of the"):
        metadata("llama", rope_parameters={"rope_type": kind, "rope_theta": 10000.0})


def test_other_model_types_and_quantised_weights_are_refused() -> None:
    with pytest.raises(Unsupported, match="'gpt2' is not exported"):
        metadata("gpt2", n_embd=64, n_head=4, n_layer=2, n_positions=64)
    with pytest.raises(Unsupported, match="quantised"):
        metadata("llama", quantization_config={"quant_method": "gptq"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("phi-2/config.json", {"architecture": "phi2", "rope.dimension_count": 32, "feed_forward_length": 10240}),
        ("llama-3/config.Llama-3.1-8B-Instruct.json", {"attention.head_count_kv": 8, "rope.freq_base": 500000.0}),
        ("qwen2/config.Qwen2-7B-Instruct.json", {"rope.freq_base": 1e6, "vocab_size": 152064}),
    ],
)
def test_the_three_bases(shared: Path, name: str, expected: dict[str, Any]) -> None:
    config = json.loads((shared / "data" / "tokenizers" / name).read_text())
    assert metadata(**config).items() >= expected.items()
