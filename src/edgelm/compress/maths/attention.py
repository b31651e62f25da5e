"""How a model's attention is laid out, and which smaller layouts it can be cut to; needs no torch.

Letters: H query heads, G key/value heads, K head size. Query head h reads key/value head h·G // H: those that read the
same one are neighbours, and together are its group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgelm.compress.base import Config
from edgelm.compress.stream.names import names_of
from edgelm.errors import BadOption, Unsupported
from edgelm.shapes import rope_parameters, shape_of

_OUTPUT = {"phi": "self_attn.dense", "gpt2": "attn.c_proj"}  # elsewhere it is "self_attn.o_proj"
_DIVIDING = ("llama",)  # whose H must divide the width, even if H·K is another: transformers opens no other model
_ALIGN, _SMALL = 128, 512  # what H′·K is a multiple of; models whose H·K is below _SMALL may have any


@dataclass(frozen=True)
class Attention:
    """The heads of a model, the same in every layer."""

    heads: int
    groups: int
    size: int
    rotated: int  # the first dimensions of a head that are turned by its place; i and i + rotated/2 turn together
    output: str  # the module that reads what the heads bring, below the layer
    normed: bool  # queries and keys pass a norm before they are turned
    dividend: int  # what H divides; 0, which every number divides, if any will do

    @classmethod
    def of(cls, config: Config) -> Attention:
        """The attention that a `config.json` describes.

        Raises:
            Unsupported, BadFile: see `shape_of`.
        """
        shape = shape_of(config)
        turning = 0 if names_of(config).places else rope_parameters(config).get("partial_rotary_factor", 1.0)
        rotated = int(shape.head_size * turning)
        output = _OUTPUT.get(shape.family, "self_attn.o_proj")
        dividend = shape.width if shape.family in _DIVIDING else 0
        return cls(shape.heads, shape.kv_heads, shape.head_size, rotated, output, shape.qk_norm, dividend)

    @property
    def readers(self) -> int:
        """Query heads in a group: H/G."""
        return self.heads // self.groups

    def pruned(self, heads: int) -> Attention:
        """With fewer query heads: as many fewer in every group if that can be, and otherwise whole groups fewer.

        Raises:
            BadOption: neither gives that many, their width is no multiple of what the kernels want, or the class
                cannot have that many.
        """
        possible = self._possible
        if heads not in possible:
            raise BadOption(
                f"width:heads={heads} does not fit {self.heads} query heads of {self.size} in groups of {self.readers}",
                why="; ".join(self._demands),
                mend=f"give one of {', '.join(map(str, possible[:-1]))}" if possible[1:] else "leave heads= out",
            )
        if heads % self.groups == 0:
            return replace(self, heads=heads)
        return replace(self, heads=heads, groups=heads // self.readers)

    @property
    def _possible(self) -> list[int]:
        """All numbers of query heads that the model can have, its own last."""
        equal = [n for n in range(1, self.heads) if n % self.groups == 0 or n % self.readers == 0]
        return [*(n for n in equal if n % self._step == 0 and self.dividend % n == 0), self.heads]

    @property
    def _step(self) -> int:
        """What the number of heads is a multiple of; head sizes that are no power of two (Phi's 80) ask for nothing."""
        return _ALIGN // self.size if self.heads * self.size >= _SMALL and _ALIGN % self.size == 0 else 1

    @property
    def _demands(self) -> list[str]:
        """What the number of heads has to meet."""
        demands = ["groups stay equal: each loses as many heads, or whole groups go"]
        if self._step > 1:
            demands.append(f"heads that are together no multiple of {_ALIGN} wide run slower")
        if self.dividend:
            demands.append(f"transformers wants the number of heads to divide the width of {self.dividend}")
        return demands


def require_free_heads(config: Config, what: str) -> None:
    """Refuse to change `what` of a model whose class derives the size of its heads, and knows no groups.

    Raises:
        Unsupported: it is a GPT-2.
    """
    if config["model_type"] == "gpt2":
        raise Unsupported(f"{what} of a gpt2 model cannot be changed",
                          why="the stock class makes each head width / heads wide, with a key/value head of its own",
                          mend="cut depth, width:ffn or vocab")  # fmt: skip


def plan_heads(config: Config, heads: int) -> Config:
    """The configuration with `heads` query heads, whose size stays.

    Raises:
        BadOption: see `Attention.pruned`.
        Unsupported: see `require_free_heads`.
    """
    require_free_heads(config, "the number of heads")
    after = Attention.of(config).pruned(heads)
    return {**config, "num_attention_heads": heads, "num_key_value_heads": after.groups, "head_dim": after.size}
