"""The `config.json` that every reader understands: transformers old and new, llama.cpp, MLC."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.compress.base import Config
from edgelm.compress.stream.names import names_of
from edgelm.errors import Unsupported
from edgelm.shapes import rope_parameters, shape_of

# Ours is a stock class: no remote code, and no trace of where the base lay.
_LEFT_OUT = ("auto_map", "_name_or_path")
_LOADING = ("attn_implementation", "experts_implementation")  # also with what transformers puts around them


def keep_layers(config: Config, kept: Sequence[int]) -> Config:
    """The configuration of the model that has only the layers `kept`, in that order.

    Raises:
        Unsupported: what a layer computes depends on its number.
    """
    if config.get("scale_attn_by_inverse_layer_idx") and list(kept) != list(range(config["num_hidden_layers"])):
        raise Unsupported("this model's layers cannot be dropped",
                          why="scale_attn_by_inverse_layer_idx makes what a layer computes depend on its number",
                          mend="leave depth out of the recipe")  # fmt: skip
    changed = {**config, "num_hidden_layers": len(kept)}
    if config.get("layer_types"):
        changed["layer_types"] = [config["layer_types"][layer] for layer in kept]
    if config.get("max_window_layers") is not None:
        changed["max_window_layers"] = sum(layer < config["max_window_layers"] for layer in kept)
    return changed


def common(config: Config) -> Config:
    """A `config.json` in the words that steps know; see `names.py`."""
    words = names_of(config).words
    if not words:
        return config
    told = {own: word for word, own in words.items()}
    kept = {key: value for key, value in config.items() if key not in told}
    named = {told[key]: value for key, value in config.items() if key in told}
    return {**named, **kept, "intermediate_size": shape_of(config).ffn}


def own(config: Config) -> Config:
    """The opposite of `common`: a configuration in the words of its stock class.

    By which kernels a model was run is left out: it says nothing of the model, and other machines may not have them.
    """
    words = names_of(config).words
    return {words.get(key, key): value for key, value in config.items() if not any(part in key for part in _LOADING)}


def stored_as(config: Config, dtype: str | None) -> Config:
    """The configuration that says in which dtype weights are stored, by torch's name; None: in several."""
    kept = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    return kept if dtype is None else {**kept, "dtype": dtype}


def portable(config: Config, dtype: str) -> Config:
    """The configuration to write, with `dtype` as torch spells it.

    transformers 5 stores `rope_parameters` alone, while MLC reads `rope_theta`, `rope_scaling` and
    `partial_rotary_factor` at the top and silently takes a default where one is missing: both forms are written, as
    are both `dtype` and `torch_dtype`, and the head size, which need not follow from the width. llama.cpp reads a
    GPT-2's context as `n_ctx`, which transformers no longer writes.
    """
    kept = {key: value for key, value in own(config).items() if key not in _LEFT_OUT}
    if names_of(config).places:
        return {**kept, "n_ctx": shape_of(config).context, "dtype": dtype, "torch_dtype": dtype}
    rope = rope_parameters(config)
    beside = ("rope_theta", "partial_rotary_factor")
    scaling = {key: value for key, value in rope.items() if key not in beside}
    return {
        **kept,
        **{key: rope[key] for key in beside if key in rope},
        "head_dim": shape_of(config).head_size,
        "rope_parameters": rope,
        "rope_scaling": None if rope["rope_type"] == "default" else scaling,
        "dtype": dtype,
        "torch_dtype": dtype,
    }
