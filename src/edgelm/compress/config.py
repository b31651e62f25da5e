"""The `config.json` that every reader understands: transformers old and new, llama.cpp, MLC."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.compress.base import Config
from edgelm.shapes import rope_parameters, shape_of

# Ours is a stock class: no remote code, and no trace of where the base lay.
_LEFT_OUT = ("auto_map", "_name_or_path")


def keep_layers(config: Config, kept: Sequence[int]) -> Config:
    """The configuration of the model that has only the layers `kept`, in that order."""
    changed = {**config, "num_hidden_layers": len(kept)}
    if config.get("layer_types"):
        changed["layer_types"] = [config["layer_types"][layer] for layer in kept]
    if config.get("max_window_layers") is not None:
        changed["max_window_layers"] = sum(layer < config["max_window_layers"] for layer in kept)
    return changed


def portable(config: Config, dtype: str) -> Config:
    """The configuration to write, with `dtype` as torch spells it.

    transformers 5 stores `rope_parameters` alone, while MLC reads `rope_theta`, `rope_scaling` and
    `partial_rotary_factor` at the top and silently takes a default where one is missing: both forms are written, as
    are both `dtype` and `torch_dtype`, and the head size, which need not follow from the width.
    """
    rope = rope_parameters(config)
    own = ("rope_theta", "partial_rotary_factor")
    scaling = {key: value for key, value in rope.items() if key not in own}
    return {
        **{key: value for key, value in config.items() if key not in _LEFT_OUT},
        **{key: rope[key] for key in own if key in rope},
        "head_dim": shape_of(config).head_size,
        "rope_parameters": rope,
        "rope_scaling": None if rope["rope_type"] == "default" else scaling,
        "dtype": dtype,
        "torch_dtype": dtype,
    }
