"""Merge neighbouring key/value heads; queries and output take over what that changes (after arXiv 2305.13245)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.maths.attention import Attention, require_free_heads
from edgelm.errors import BadOption, Unsupported

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

_UNHEALED = "kv: merged heads want training to be good again (about 5 % of pre-training in arXiv 2305.13245)"


@dataclass(frozen=True)
class Kv:
    """Let more query heads share one key/value head, so that the cache is smaller.

    Attributes:
        heads: how many key/value heads stay.
        merge: `svd` finds the best shared head and lets its readers absorb any factor that commutes with the rotary
            positions; `mean` averages the heads after turning them towards each other.
    """

    heads: int
    merge: Literal["svd", "mean"] = "svd"

    def idle(self, config: Config) -> bool:
        """Whether no heads are merged."""
        return self.heads == Attention.of(config).groups

    def plan(self, config: Config) -> Config:
        """The configuration with `heads` key/value heads.

        Raises:
            BadOption: they cannot be made by merging equally many of the model's.
            Unsupported: the model's keys pass a norm, and `mean` was not asked for; or its class knows no groups.
        """
        require_free_heads(config, "the number of key/value heads")
        attention = Attention.of(config)
        possible = [n for n in range(1, attention.groups) if attention.groups % n == 0 and attention.heads % n == 0]
        if not self.idle(config) and self.heads not in possible:
            raise BadOption(
                f"kv:heads={self.heads} does not fit {attention.groups} key/value heads",
                why="as many neighbours become one everywhere",
                mend=f"give one of {', '.join(map(str, possible))}" if possible else "leave the step out",
            )
        if attention.normed and self.merge == "svd" and not self.idle(config):
            raise Unsupported(
                f"kv cannot merge the heads of a {config['model_type']} model by svd",
                why="its queries and keys pass a norm, which the factors of a merge do not commute with",
                mend=f"kv:heads={self.heads},merge=mean",
            )
        return {**config, "num_key_value_heads": self.heads}

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Merge layer by layer, each seeing the stream that the merged ones before it make."""
        from edgelm.compress.maths.merging import INPUTS, Merging  # torch, which a plan does without
        from edgelm.compress.stream.rewrite import rewrite

        before = model.config
        made = rewrite(
            model, batches, self.plan(before), [INPUTS, Attention.of(before).output],
            lambda number, layer: Merging(layer, number, self.heads, before, self.merge),
            progress, "kv: merge heads",
        )  # fmt: skip
        warnings = sorted({warning for layer in made for warning in layer["warnings"]})
        lists = {name: [layer[name] for layer in made] for name in made[0] if name != "warnings"}
        return {**lists, "warnings": [_UNHEALED, *warnings]}
