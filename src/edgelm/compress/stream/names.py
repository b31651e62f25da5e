"""What the stock class of each family calls its parts and settings, and how it lays out its matrices; needs no torch.

Steps know one way of speaking: a configuration in the words of Llama's (`num_hidden_layers`, `intermediate_size`, …),
and matrices that are (out, in).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgelm.compress.base import Config

HEAD, HEAD_BIAS = "lm_head.weight", "lm_head.bias"  # in all families


@dataclass(frozen=True)
class Names:
    """How a family names things.

    Attributes:
        inner: the model without its head.
        stack: in it, the list of layers.
        table: in it, the embedding of tokens.
        final: in it, the norm behind all layers.
        places: in it, the embedding of positions; "" where positions turn queries and keys instead.
        turned: whether the matrices of layers are stored (in, out).
        words: keys of `config.json`, by what steps call them.
    """

    inner: str = "model"
    stack: str = "layers"
    table: str = "embed_tokens"
    final: str = "norm"
    places: str = ""
    turned: bool = False
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> str:
        """What the names of all tensors of layers begin with."""
        return f"{self.inner}.{self.stack}."

    def layer(self, number: int) -> str:
        """What the names of a layer's tensors begin with."""
        return f"{self.layers}{number}."

    @property
    def embedding(self) -> str:
        """The tensor that tokens are looked up in."""
        return f"{self.inner}.{self.table}.weight"


_GPT2 = Names(
    inner="transformer", stack="h", table="wte", final="ln_f", places="wpe", turned=True,
    words={
        "num_hidden_layers": "n_layer", "hidden_size": "n_embd", "num_attention_heads": "n_head",
        "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
    },
)  # fmt: skip
_OTHERS = {"phi": Names(final="final_layernorm"), "gpt2": _GPT2}


def names_of(config: Config) -> Names:
    """The names of a configuration's family."""
    return _OTHERS.get(config["model_type"], Names())
