"""The shape of a model, read from its `config.json` alone: every tensor by name, and what follows from that.

Letters: L layers, D model width, H query heads, G key/value heads, K head size, F feed-forward width, V vocabulary.
Weights are (out, in), as Hugging Face stores them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgelm.errors import BadFile, Unsupported

Tensors = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Shape:
    """The dimensions of a decoder-only model."""

    family: str  # model_type of the configuration
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    vocab: int
    context: int  # positions
    tied: bool  # the head shares the embedding's tensor
    attention_bias: bool = False  # on q, k, v
    output_bias: bool = False  # on the attention's output
    mlp_bias: bool = False
    qk_norm: bool = False

    @property
    def tensors(self) -> Tensors:
        """Name and shape of every stored tensor."""
        return dict(_LAYOUTS[self.family](self))

    @property
    def parameters(self) -> int:
        """Number of parameters; a tied tensor counts once."""
        return sum(math.prod(shape) for shape in self.tensors.values())

    @property
    def head_parameters(self) -> int:
        """Parameters of the matrix that makes logits: V·D."""
        return self.vocab * self.width

    def kv_bytes(self, tokens: int, bytes_per_value: int) -> int:
        """Bytes of keys and values for `tokens` positions: 2·L·G·K each."""
        return 2 * self.layers * self.kv_heads * self.head_size * bytes_per_value * tokens


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a `config.json` describes: Llama, Qwen2, Qwen3, Qwen (the first), Phi and GPT-2.

    Raises:
        Unsupported: another `model_type`.
        BadFile: a dimension is missing or no positive whole number.
    """
    family = config.get("model_type")
    if not isinstance(family, str) or family not in _LAYOUTS:
        raise Unsupported(f"model_type '{family}' is not known here", mend=f"known: {', '.join(_LAYOUTS)}")
    if family == "gpt2":
        return _gpt2(config)
    width, heads = _dimension(config, "hidden_size"), _dimension(config, "num_attention_heads")
    ffn = _dimension(config, "intermediate_size")
    head_size = _dimension(config, "kv_channels" if family == "qwen" else "head_dim", width // heads)
    if family == "phi":
        _require_pairs(config, head_size)
    # Only these stock classes read the keys; the others have their biases or have none, whatever config.json says.
    asked = family in ("llama", "qwen3") and bool(config.get("attention_bias"))
    return Shape(
        family=family,
        layers=_dimension(config, "num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=_dimension(config, "num_key_value_heads", heads),
        head_size=head_size,
        ffn=ffn // 2 if family == "qwen" else ffn,
        vocab=_dimension(config, "vocab_size"),
        context=_dimension(config, "seq_length" if family == "qwen" else "max_position_embeddings"),
        tied=bool(config.get("tie_word_embeddings")),
        attention_bias=family in ("qwen", "qwen2", "phi") or asked,
        output_bias=family == "phi" or asked,
        mlp_bias=family == "phi" or (family == "llama" and bool(config.get("mlp_bias"))),
        qk_norm=family == "qwen3",
    )


def rope_parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings in the form of transformers 5, from either form, with the precedence that it has.

    A `rope_scaling` that is not empty stands in for all of `rope_parameters`; what that says comes before
    `rope_theta` and `partial_rotary_factor` beside it (`RotaryEmbeddingConfigMixin.convert_rope_params_to_dict`).

    Raises:
        BadFile: the settings are no object, or the base is no number.
    """
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(given, Mapping):
        raise BadFile(f"config.json: the rotary settings are {given!r}", why="an object is needed",
                      mend="mend rope_parameters or rope_scaling")  # fmt: skip
    rope = dict(given)
    old_type = rope.pop("type", "default")
    rope.setdefault("rope_type", old_type)
    rope.setdefault("rope_theta", config.get("rope_theta") or 10_000.0)
    if not isinstance(rope["rope_theta"], int | float):
        raise BadFile(f"config.json: rope_theta is {rope['rope_theta']!r}", why="a number is needed",
                      mend="set rope_theta")  # fmt: skip
    partial = config.get("partial_rotary_factor", 0.5 if config.get("model_type") == "phi" else None)
    if partial is not None:
        rope.setdefault("partial_rotary_factor", partial)
    if rope["rope_type"] in ("llama3", "yarn", "longrope"):  # they scale from the context before the scaling
        rope.setdefault("original_max_position_embeddings", config.get("max_position_embeddings"))
    return rope


def _gpt2(config: Mapping[str, Any]) -> Shape:
    # Its class takes everyone else's words as well, and before its own.
    width, heads = (_dimension(config, word, config.get(own)) for word, own in
                    (("hidden_size", "n_embd"), ("num_attention_heads", "n_head")))  # fmt: skip
    return Shape(
        family="gpt2", layers=_dimension(config, "num_hidden_layers", config.get("n_layer")), width=width, heads=heads,
        kv_heads=heads, head_size=width // heads, vocab=_dimension(config, "vocab_size"),
        ffn=_dimension(config, "intermediate_size", _dimension(config, "n_inner", 4 * width)),
        context=_dimension(config, "max_position_embeddings", config.get("n_positions")),
        tied=config.get("tie_word_embeddings") is not False,
        attention_bias=True, output_bias=True, mlp_bias=True,
    )  # fmt: skip


def _require_pairs(config: Mapping[str, Any], head_size: int) -> None:
    """Rotation is of pairs: the class fails at the first token where one is left over."""
    factor = rope_parameters(config)["partial_rotary_factor"]
    if not isinstance(factor, int | float) or not 0 < factor <= 1 or int(head_size * factor) % 2:
        raise BadFile(f"config.json: partial_rotary_factor is {factor!r}",
                      why=f"of a head's {head_size} dimensions an even number is rotated",
                      mend="set partial_rotary_factor")  # fmt: skip


def _dimension(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = default if config.get(key) is None else config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise BadFile(f"config.json: {key} is {value!r}", why="a positive whole number is needed", mend=f"set {key}")
    return value


def _linear(name: str, out: int, into: int, bias: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, into)
    if bias:
        yield f"{name}.bias", (out,)


def _norm(name: str, size: int, bias: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (size,)
    if bias:
        yield f"{name}.bias", (size,)


def _llama_like(s: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    query, kv = s.heads * s.head_size, s.kv_heads * s.head_size
    yield "model.embed_tokens.weight", (s.vocab, s.width)
    for layer in range(s.layers):
        at = f"model.layers.{layer}"
        yield from _norm(f"{at}.input_layernorm", s.width)
        yield from _linear(f"{at}.self_attn.q_proj", query, s.width, s.attention_bias)
        yield from _linear(f"{at}.self_attn.k_proj", kv, s.width, s.attention_bias)
        yield from _linear(f"{at}.self_attn.v_proj", kv, s.width, s.attention_bias)
        yield from _linear(f"{at}.self_attn.o_proj", s.width, query, s.output_bias)
        if s.qk_norm:
            yield from _norm(f"{at}.self_attn.q_norm", s.head_size)
            yield from _norm(f"{at}.self_attn.k_norm", s.head_size)
        yield from _norm(f"{at}.post_attention_layernorm", s.width)
        yield from _linear(f"{at}.mlp.gate_proj", s.ffn, s.width, s.mlp_bias)
        yield from _linear(f"{at}.mlp.up_proj", s.ffn, s.width, s.mlp_bias)
        yield from _linear(f"{at}.mlp.down_proj", s.width, s.ffn, s.mlp_bias)
    yield from _norm("model.norm", s.width)
    if not s.tied:
        yield from _linear("lm_head", s.vocab, s.width, bias=False)


def _phi(s: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    query, kv = s.heads * s.head_size, s.kv_heads * s.head_size
    yield "model.embed_tokens.weight", (s.vocab, s.width)
    for layer in range(s.layers):
        at = f"model.layers.{layer}"
        yield from _norm(f"{at}.input_layernorm", s.width, bias=True)
        yield from _linear(f"{at}.self_attn.q_proj", query, s.width, bias=True)
        yield from _linear(f"{at}.self_attn.k_proj", kv, s.width, bias=True)
        yield from _linear(f"{at}.self_attn.v_proj", kv, s.width, bias=True)
        yield from _linear(f"{at}.self_attn.dense", s.width, query, bias=True)
        yield from _linear(f"{at}.mlp.fc1", s.ffn, s.width, bias=True)
        yield from _linear(f"{at}.mlp.fc2", s.width, s.ffn, bias=True)
    yield from _norm("model.final_layernorm", s.width, bias=True)
    if s.tied:
        yield "lm_head.bias", (s.vocab,)
    else:
        yield from _linear("lm_head", s.vocab, s.width, bias=True)


def _qwen(s: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "transformer.wte.weight", (s.vocab, s.width)
    for layer in range(s.layers):
        at = f"transformer.h.{layer}"
        yield from _norm(f"{at}.ln_1", s.width)
        yield from _linear(f"{at}.attn.c_attn", 3 * s.heads * s.head_size, s.width, bias=True)
        yield from _linear(f"{at}.attn.c_proj", s.width, s.heads * s.head_size, bias=False)
        yield from _norm(f"{at}.ln_2", s.width)
        yield from _linear(f"{at}.mlp.w1", s.ffn, s.width, bias=False)
        yield from _linear(f"{at}.mlp.w2", s.ffn, s.width, bias=False)
        yield from _linear(f"{at}.mlp.c_proj", s.width, s.ffn, bias=False)
    yield from _norm("transformer.ln_f", s.width)
    yield from _linear("lm_head", s.vocab, s.width, bias=False)


def _gpt2_layout(s: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    # GPT-2 keeps its weights (in, out), the other way round from everyone else.
    yield "transformer.wte.weight", (s.vocab, s.width)
    yield "transformer.wpe.weight", (s.context, s.width)
    for layer in range(s.layers):
        at = f"transformer.h.{layer}"
        yield from _norm(f"{at}.ln_1", s.width, bias=True)
        yield f"{at}.attn.c_attn.weight", (s.width, 3 * s.width)
        yield f"{at}.attn.c_attn.bias", (3 * s.width,)
        yield f"{at}.attn.c_proj.weight", (s.width, s.width)
        yield f"{at}.attn.c_proj.bias", (s.width,)
        yield from _norm(f"{at}.ln_2", s.width, bias=True)
        yield f"{at}.mlp.c_fc.weight", (s.width, s.ffn)
        yield f"{at}.mlp.c_fc.bias", (s.ffn,)
        yield f"{at}.mlp.c_proj.weight", (s.ffn, s.width)
        yield f"{at}.mlp.c_proj.bias", (s.width,)
    yield from _norm("transformer.ln_f", s.width, bias=True)
    if not s.tied:
        yield from _linear("lm_head", s.vocab, s.width, bias=False)


_LAYOUTS = {
    "llama": _llama_like, "qwen2": _llama_like, "qwen3": _llama_like,
    "phi": _phi, "qwen": _qwen, "gpt2": _gpt2_layout,
}  # fmt: skip
