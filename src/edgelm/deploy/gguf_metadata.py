"""Which llama.cpp architecture runs a family, and the metadata keys that describe one checkpoint to it.

What each architecture reads and assumes was taken from llama.cpp's model loader (`src/llama-model.cpp`,
`src/models/*.cpp`); where that is narrower than the family, the checkpoint is refused here rather than by the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gguf

from edgelm.errors import BadFile, Unsupported
from edgelm.shapes import Shape, rope_parameters


@dataclass(frozen=True)
class Family:
    """How llama.cpp runs a family of models."""

    arch: gguf.MODEL_ARCH
    interleaved: bool = False  # rotates neighbouring values, where Hugging Face rotates the two halves of a head
    square: bool = False  # allocates the attention's query and output matrices D × D
    own_head: bool = False  # reads `output.weight` even where the head is tied to the embedding
    rope_factors: bool = False  # reads one factor a frequency, which the llama3 scaling of positions needs
    output_bias: bool = False  # reads a bias on the attention's output
    activations: tuple[str, ...] = ("silu", "swish")
    partial_rotary: bool = False  # can rotate a part of each head


FAMILIES = {
    "llama": Family(gguf.MODEL_ARCH.LLAMA, interleaved=True, rope_factors=True, output_bias=True),
    "qwen2": Family(gguf.MODEL_ARCH.QWEN2, square=True),
    "qwen3": Family(gguf.MODEL_ARCH.QWEN3),
    "phi": Family(
        gguf.MODEL_ARCH.PHI2, square=True, own_head=True, output_bias=True,
        activations=("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), partial_rotary=True,
    ),
}  # fmt: skip


def family_of(config: Mapping[str, Any], shape: Shape) -> Family:
    """The family's conventions, once the checkpoint is known to fit llama.cpp's idea of it.

    Raises:
        Unsupported: another model type, quantised weights, or a variant that llama.cpp's architecture does not run.
        BadFile: the settings of the rotary positions lack a number.
    """
    if shape.family not in FAMILIES:
        raise Unsupported(f"gguf: model_type '{shape.family}' is not exported", mend=f"known: {', '.join(FAMILIES)}")
    family = FAMILIES[shape.family]
    if "quantization_config" in config:
        raise Unsupported("gguf: the checkpoint is quantised", why="config.json has a quantization_config",
                          mend="export the unquantised checkpoint")  # fmt: skip
    if problems := _misfits(family, config, shape):
        raise Unsupported(f"gguf: llama.cpp's '{gguf.MODEL_ARCH_NAMES[family.arch]}' cannot run this checkpoint",
                          why="; ".join(problems), mend="deploy it to another target")  # fmt: skip
    return family


def _misfits(family: Family, config: Mapping[str, Any], shape: Shape) -> list[str]:
    activation = config.get("hidden_act", family.activations[0])
    windowed = config.get("use_sliding_window") and config.get("max_window_layers", 0) < shape.layers
    rope = rotation(config)
    kind = rope["rope_type"]
    found = {
        f"heads × head size is {shape.heads * shape.head_size}, and must be the width {shape.width}":
            family.square and shape.heads * shape.head_size != shape.width,
        f"hidden_act is '{activation}', and must be '{family.activations[0]}'": activation not in family.activations,
        "the attention's output has a bias": shape.output_bias and not family.output_bias,
        "queries and keys are normalised (qk_layernorm)": config.get("qk_layernorm"),
        "layers attend through a sliding window": windowed or "sliding_attention" in (config.get("layer_types") or ()),
        f"positions are scaled by '{kind}'": kind not in _ROPE_NEEDS or (kind == "llama3" and not family.rope_factors),
        "only a part of each head is rotated": rope["partial_rotary_factor"] != 1 and not family.partial_rotary,
        "yarn sets its own attention factor": kind == "yarn" and not _OWN_FACTOR.isdisjoint(rope),
    }  # fmt: skip
    return [problem for problem, holds in found.items() if holds]


_ROPE_NEEDS: dict[str, tuple[str, ...]] = {  # how positions may be scaled, and by which numbers
    "default": (),
    "linear": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}
_OWN_FACTOR = frozenset({"attention_factor", "mscale", "mscale_all_dim"})


def rotation(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings, with every number that the kind of scaling needs, and the share of a head that is rotated.

    Raises:
        BadFile: a number that this kind of scaling needs is missing; see also `rope_parameters`.
    """
    given = {"partial_rotary_factor": 1.0, **rope_parameters(config)}
    for key in _ROPE_NEEDS.get(given["rope_type"], ()):
        if not isinstance(given.get(key), int | float):
            raise BadFile(f"config.json: {key} of the '{given['rope_type']}' rotary scaling is {given.get(key)!r}",
                          why="a number is needed", mend=f"set {key}")  # fmt: skip
    return {key: value for key, value in given.items() if value is not None}


def write_metadata(writer: gguf.GGUFWriter, config: Mapping[str, Any], shape: Shape, family: Family) -> None:
    """Write the keys that describe the model's dimensions and arithmetic."""
    rope = rotation(config)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    # Written even where D / H would do: pruning heads or channels leaves the head size as it was.
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_vocab_size(shape.vocab)
    if family.arch == gguf.MODEL_ARCH.PHI2:
        writer.add_layer_norm_eps(config.get("layer_norm_eps", 1e-5))
    else:
        writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_rope_dimension_count(int(shape.head_size * rope["partial_rotary_factor"]))
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):  # llama3 travels as a tensor
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope.get("beta_fast", 32.0))
        writer.add_rope_scaling_yarn_beta_slow(rope.get("beta_slow", 1.0))
