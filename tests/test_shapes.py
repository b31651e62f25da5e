"""Shapes: exact parameter counts of known models, and the very tensors that transformers builds."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from transformers import AutoConfig

from edgelm.errors import BadFile, Unsupported
from edgelm.shapes import rope_parameters, shape_of

PHI_2 = {
    "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 51200, "max_position_embeddings": 2048, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_3_1_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
}  # fmt: skip
QWEN2_7B = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN_7B = {
    "model_type": "qwen", "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "kv_channels": 128,
    "num_attention_heads": 32, "vocab_size": 151936, "seq_length": 8192, "tie_word_embeddings": False,
}  # fmt: skip
GPT_2 = {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257}
COUNTS = [
    (PHI_2, 2_779_683_840, "phi-2/config.json"),
    (LLAMA_3_1_8B, 8_030_261_248, "llama-3/config.Llama-3.1-8B-Instruct.json"),
    (QWEN2_7B, 7_615_616_512, "qwen2/config.Qwen2-7B-Instruct.json"),
    (QWEN_7B, 7_721_324_544, "qwen-7b/config.json"),
    (GPT_2, 124_439_808, "gpt2/config.json"),
]


@pytest.mark.parametrize(("config", "parameters", "file"), COUNTS)
def test_parameter_counts_are_exact(config, parameters, file):
    assert shape_of(config).parameters == parameters


@pytest.mark.parametrize(("config", "parameters", "file"), COUNTS)
def test_the_published_configuration_gives_the_same_shape(shared, config, parameters, file):
    published = json.loads((shared / "data/tokenizers" / file).read_bytes())
    assert shape_of(published) == shape_of(config)


def test_the_published_index_of_phi_2_names_the_same_tensors(shared):
    index = json.loads((shared / "data/tokenizers/phi-2/model.safetensors.index.json").read_bytes())
    assert set(index["weight_map"]) == set(shape_of(PHI_2).tensors)
    assert index["metadata"]["total_size"] == 2 * shape_of(PHI_2).parameters


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("family", "options"), [
    ("llama", {}), ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 8}), ("qwen2", {}), ("qwen3", {}),
    ("qwen3", {"attention_bias": True, "num_key_value_heads": 1}), ("phi", {}), ("phi", {"num_key_value_heads": 4}),
    ("qwen2", {"attention_bias": True, "mlp_bias": True}), ("qwen3", {"mlp_bias": True}),
    ("phi", {"attention_bias": False, "mlp_bias": False}),
])  # fmt: skip
def test_names_and_shapes_are_those_that_transformers_saves(make_checkpoint, family, options, tied):
    folder = make_checkpoint(family, tied=tied, num_hidden_layers=2, **options)
    with safe_open(folder / "model.safetensors", "np") as stored:
        saved = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    shape = shape_of(json.loads((folder / "config.json").read_bytes()))
    assert shape.tensors == saved
    assert shape.tied is tied and ("lm_head.weight" in saved) is not tied


def test_head_and_cache_sizes():
    shape = shape_of(LLAMA_3_1_8B)
    assert shape.head_parameters == 128256 * 4096
    assert shape.kv_bytes(tokens=2048, bytes_per_value=2) == 2 * 32 * 8 * 128 * 2 * 2048


def test_an_unknown_family_is_named():
    for config in ({"model_type": "mamba"}, {}):
        with pytest.raises(Unsupported, match=str(config.get("model_type"))) as caught:
            shape_of(config)
        assert "llama" in caught.value.mend


@pytest.mark.parametrize("value", [0, -1, "4096", 4.5, True, [1]])
@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size"])
def test_a_dimension_that_is_no_positive_whole_number_is_named(key, value):
    with pytest.raises(BadFile, match=key):
        shape_of(LLAMA_3_1_8B | {key: value})


def test_a_missing_dimension_is_named_and_optional_ones_may_be_null():
    with pytest.raises(BadFile, match="num_hidden_layers is None"):
        shape_of({key: value for key, value in QWEN2_7B.items() if key != "num_hidden_layers"})
    shape = shape_of(LLAMA_3_1_8B | {"head_dim": None, "num_key_value_heads": None})
    assert (shape.head_size, shape.kv_heads) == (128, 32)
    assert shape_of(GPT_2 | {"n_inner": None}).ffn == 3072


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}},
        {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
         "rope_scaling": {"type": "linear", "factor": 4.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0}, "rope_scaling": {}, "partial_rotary_factor": 0.25},
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}, "partial_rotary_factor": 0.75},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "rope_parameters": {"partial_rotary_factor": 0.25}},
        {"rope_scaling": {"rope_type": "yarn", "type": "linear", "factor": 4.0}},
    ],
)  # fmt: skip
def test_rotary_settings_are_those_that_transformers_reads(
    tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    config = {
        "model_type": family, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 256, **settings,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    read = {**AutoConfig.from_pretrained(tmp_path).rope_parameters}
    read.pop("type", None)  # the old name, which it leaves beside the new one
    assert rope_parameters(config) == read


def test_rotary_settings_that_are_none_are_named() -> None:
    with pytest.raises(BadFile, match="the rotary settings are 'linear'"):
        rope_parameters({"rope_scaling": "linear"})
    with pytest.raises(BadFile, match="rope_theta is 'much'"):
        rope_parameters({"rope_theta": "much"})


@pytest.mark.parametrize("factor", [0.41, 0, 1.5, "half"])
def test_a_part_of_a_head_that_cannot_be_rotated_in_pairs_is_named(factor: object) -> None:
    with pytest.raises(BadFile, match="partial_rotary_factor") as caught:
        shape_of({**PHI_2, "hidden_size": 32 * 32, "partial_rotary_factor": factor})
    assert "even" in caught.value.why
