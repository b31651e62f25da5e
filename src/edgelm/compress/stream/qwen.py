"""Qwen-7B, and its sisters of other sizes, as the Qwen2 models that they nearly are; their own code is never run.

The differences are of form alone: q, k and v are one matrix, the feed-forward's matrices have other names, and its
width is given twice over. Letters: D model width, H heads, K head size, F feed-forward width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Checkpoint, read_config
from edgelm.compress.base import Config
from edgelm.compress.stream.qwen_tokenizer import END, IM_END, RANKS, SPECIALS, as_bytes, settings, tokenizer_json
from edgelm.errors import BadFile, Unsupported
from edgelm.files import write_bytes
from edgelm.headers import Tensor

_PUBLISHED = "bfloat16"  # what all of them are stored in, where `config.json` does not say
# Keys of Qwen2's configuration, and those that have had the same meaning in this class, the present one first.
_WORDS = {
    "hidden_size": ("hidden_size", "n_embd"), "num_hidden_layers": ("num_hidden_layers", "n_layer"),
    "num_attention_heads": ("num_attention_heads", "n_head"), "head_dim": ("kv_channels",),
    "intermediate_size": ("intermediate_size", "ffn_hidden_size"), "vocab_size": ("vocab_size", "padded_vocab_size"),
    "max_position_embeddings": ("seq_length",), "rms_norm_eps": ("layer_norm_epsilon",),
}  # fmt: skip
_FIXED = {"rotary_pct": 1.0, "scale_attn_weights": True, "no_bias": True}  # the only values that Qwen2 can stand for
_OUTSIDE = {"transformer.wte": "model.embed_tokens", "transformer.ln_f": "model.norm"}
_INSIDE = {
    "ln_1": "input_layernorm", "attn.c_proj": "self_attn.o_proj", "ln_2": "post_attention_layernorm",
    "mlp.w1": "mlp.up_proj", "mlp.w2": "mlp.gate_proj", "mlp.c_proj": "mlp.down_proj",
}  # fmt: skip
_LAYERS, _FUSED = "transformer.h.", "attn.c_attn"


class QwenBase(Checkpoint):
    """A checkpoint of `QWenLMHeadModel`, seen as one of `Qwen2ForCausalLM`; no weight is read or copied.

    Raises:
        Unsupported: it has settings that Qwen2 has not (on `config`).
        BadFile: a file is damaged, or lacks a dimension (on what needs it).
    """

    @cached_property
    def own_config(self) -> Config:
        """`config.json` as it is."""
        return read_config(self.path / "config.json")

    @cached_property
    def config(self) -> Config:
        """What Qwen2's would be."""
        return qwen2_config(self.own_config) | self._ends

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """By Qwen2's names."""
        return dict(pair for stored in super().tensors.values() for pair in _renamed(stored))

    @cached_property
    def tokenizer_path(self) -> Path:
        """A folder with the tokenizer's stock form, which lasts as long as this object; the own one if it has none."""
        if not (self.path / RANKS).is_file():
            return self.path
        self._made = tempfile.TemporaryDirectory(prefix="edgelm-tokenizer-")
        folder = Path(self._made.name)
        own = ("chat_format", "stop_words_ids", "max_context_size", "max_generate_size")
        generation = {key: value for key, value in self.generation_config.items() if key not in own} | self._ends
        write_bytes(folder / "tokenizer.json", as_bytes(tokenizer_json(self.path / RANKS)))
        write_bytes(folder / "tokenizer_config.json", as_bytes(self.tokenizer_config))
        write_bytes(folder / "generation_config.json", as_bytes(generation))
        return folder

    @cached_property
    def tokenizer_config(self) -> Config:
        """The tokenizer's settings in stock form."""
        return settings(self.config["max_position_embeddings"], chat=self._chat)

    @property
    def losses(self) -> list[str]:
        """What the checkpoint's own code would do and Qwen2 does not, for the card."""
        scalings = {"use_dynamic_ntk": "NTK", "use_logn_attn": "log-n"}
        used = [name for key, name in scalings.items() if self.own_config.get(key)]
        context = self.config["max_position_embeddings"]
        return [f"Qwen's {' and '.join(used)} scaling is dropped, which acts beyond {context} tokens: "
                "the context ends there"] if used else []  # fmt: skip

    @property
    def _chat(self) -> bool:
        return self.generation_config.get("chat_format") == "chatml"

    @property
    def _ends(self) -> Config:
        """The tokens that end an answer, as far as the configurations tell."""
        end = self.generation_config.get("eos_token_id", self.own_config.get("eos_token_id"))
        if not isinstance(end, int):
            return {}
        turn = end + SPECIALS.index(IM_END) - SPECIALS.index(END)
        return {"eos_token_id": [turn, end] if self._chat else end, "bos_token_id": None, "pad_token_id": end}


def qwen2_config(config: Mapping[str, Any]) -> Config:
    """The configuration of the Qwen2 model that computes what this Qwen model does, up to its context.

    Raises:
        Unsupported: Qwen2 cannot.
        BadFile: a dimension is missing.
    """
    for key, only in _FIXED.items():
        if config.get(key, only) != only:
            raise Unsupported(f"a Qwen model with {key}={config[key]} cannot be compressed",
                              why=f"the stock class that stands for it, Qwen2, has {key}={only}",
                              mend="give one of the published models")  # fmt: skip
    made = {name: _number(config, keys) for name, keys in _WORDS.items()}
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **made,
        "intermediate_size": made["intermediate_size"] // 2, "num_key_value_heads": made["num_attention_heads"],
        "hidden_act": "silu", "rope_theta": float(config.get("rotary_emb_base", 10_000)),
        "attention_dropout": 0.0, "initializer_range": config.get("initializer_range", 0.02),
        "tie_word_embeddings": False, "use_cache": True, "use_sliding_window": False,
        "dtype": config.get("torch_dtype", _PUBLISHED),
        **{key: config[key] for key in ("quantization_config",) if key in config},  # to be refused by
    }  # fmt: skip


def _number(config: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if config.get(key) is not None:
            return config[key]
    raise BadFile(f"config.json: {keys[0]} is missing", why="it is a dimension of the model", mend=f"set {keys[0]}")


def _renamed(stored: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A tensor, or what it holds one after another, by Qwen2's names; what Qwen2 has not keeps its own."""
    if not stored.name.startswith(_LAYERS):
        part, _, kind = stored.name.rpartition(".")
        yield f"{_OUTSIDE.get(part, part)}.{kind}", stored
        return
    number, _, name = stored.name.removeprefix(_LAYERS).partition(".")
    part, _, kind = name.rpartition(".")
    prefix = f"model.layers.{number}."
    if part != _FUSED or stored.shape[0] % 3:
        yield f"{prefix}{_INSIDE.get(part, part)}.{kind}", stored
        return
    size = stored.bytes // 3
    for place, name in enumerate("qkv"):  # rows of one matrix, which lie one after another
        yield (
            f"{prefix}self_attn.{name}_proj.{kind}",
            replace(
                stored, shape=(stored.shape[0] // 3, *stored.shape[1:]), start=stored.start + place * size, bytes=size
            ),
        )
