from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.config import keep_layers, portable
from edgelm.compress.depth import Depth
from edgelm.compress.run import compress
from edgelm.data.texts import TextSource

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "rope"),
    [
        ("llama", {"rope_type": "default", "rope_theta": 500_000.0}),
        ("llama", {**LLAMA3, "rope_theta": 500_000.0}),
        ("qwen2", {"rope_type": "default", "rope_theta": 1_000_000.0}),
        ("phi", {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25}),
    ],
)
def test_every_form_says_the_same(
    make_checkpoint: Callable[..., Path], tmp_path: Path, family: str, rope: dict[str, Any]
) -> None:
    base = Checkpoint(make_checkpoint(family, rope_parameters=rope))
    new = portable(base.config, "float16")
    scaling = new["rope_scaling"]
    old = {key: value for key, value in new.items() if key != "rope_parameters"}
    for name, config in (("both", new), ("old", old)):
        write_config(tmp_path / name / "config.json", config) if (tmp_path / name).mkdir() is None else None
        read = AutoConfig.from_pretrained(tmp_path / name)
        assert {key: read.rope_parameters[key] for key in rope} == rope
        assert read.head_dim == 16
    assert new["rope_theta"] == rope["rope_theta"]
    assert (scaling is None) == (rope["rope_type"] == "default")
    assert new.get("partial_rotary_factor") == rope.get("partial_rotary_factor")
    assert new["dtype"] == new["torch_dtype"] == "float16"


def test_old_configurations_are_understood() -> None:
    """As published with Llama-3.1 and Phi-2: everything at the top, `type` for `rope_type`."""
    shape = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "vocab_size": 320, "max_position_embeddings": 256,
    }  # fmt: skip
    llama = portable({**shape, "model_type": "llama", "rope_theta": 5e5,
                      "rope_scaling": {"type": "linear", "factor": 2.0}}, "float32")  # fmt: skip
    assert llama["rope_parameters"] == {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
    assert llama["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    phi = portable({**shape, "model_type": "phi", "partial_rotary_factor": 0.4, "auto_map": {"x": "y"}}, "float32")
    assert phi["rope_parameters"] == {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.4}
    assert phi["partial_rotary_factor"] == 0.4
    assert "auto_map" not in phi
    assert portable({**shape, "model_type": "phi"}, "float32")["partial_rotary_factor"] == 0.5


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_experts_implementation"])
def test_how_a_model_was_run_is_no_part_of_it(
    make_checkpoint: Callable[..., Path], texts: list[TextSource], tmp_path: Path, key: str
) -> None:
    base = Checkpoint(make_checkpoint("llama"))
    write_config(base.path / "config.json", {**base.config, key: "flash_attention_9"})
    made = compress(Checkpoint(base.path), [Depth(1)], tmp_path / "out", texts=texts, tokens=600, sequence=48)
    assert made.config["num_hidden_layers"] == 3
    assert key not in made.config


def test_keep_layers_keeps_each_layers_type() -> None:
    config = {"num_hidden_layers": 4, "layer_types": list("abcd"), "max_window_layers": 2, "hidden_size": 8}
    assert keep_layers(config, [0, 3]) == {
        "num_hidden_layers": 2, "layer_types": ["a", "d"], "max_window_layers": 1, "hidden_size": 8,
    }  # fmt: skip
    assert keep_layers({"num_hidden_layers": 4}, [0, 3]) == {"num_hidden_layers": 2}
