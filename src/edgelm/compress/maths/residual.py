"""Who reads the residual stream of a layer and who writes into it, by family; no torch is imported.

Letters: T tokens, D model width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelm.compress.base import Config

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """How a family normalises the stream: by a LayerNorm if `centred`, else by an RMSNorm."""

    centred: bool
    epsilon: float

    def spread(self, x_TD: Tensor) -> Tensor:
        """What each token is divided by (T × 1): its standard deviation or root mean square, ε included."""
        power_T1 = x_TD.var(-1, correction=0, keepdim=True) if self.centred else x_TD.square().mean(-1, keepdim=True)
        return (power_T1 + self.epsilon).sqrt()

    def apply(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The normalised stream, as the stock class computes it from its `weight` and `bias` (D each)."""
        centred_TD = x_TD - x_TD.mean(-1, keepdim=True) if self.centred else x_TD
        n_TD = centred_TD / self.spread(x_TD) * weight
        return n_TD if bias is None else n_TD + bias


@dataclass(frozen=True)
class Residual:
    """The stream's neighbours in a layer, by their names below it."""

    readers: Mapping[str, tuple[str, ...]]  # matrices that read each norm; the norms in the order in which they run
    writers: tuple[str, ...]  # matrices whose outputs are added to the stream
    closing: tuple[str, ...]  # those that write behind the last norm: its input and their outputs leave the layer
    final: str  # the norm behind all layers, by its full name
    centred: bool
    epsilon: tuple[str, float]  # its key in the configuration, and what the stock class takes without one

    def norm(self, config: Config) -> Norm:
        """How this model normalises."""
        key, default = self.epsilon
        return Norm(self.centred, config.get(key, default))


_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_GATED = Residual(
    readers={"input_layernorm": _ATTENTION, "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj")},
    writers=("self_attn.o_proj", "mlp.down_proj"),
    closing=("mlp.down_proj",),
    final="model.norm",
    centred=False,
    epsilon=("rms_norm_eps", 1e-6),
)
_PARALLEL = Residual(
    readers={"input_layernorm": (*_ATTENTION, "mlp.fc1")},
    writers=("self_attn.dense", "mlp.fc2"),
    closing=("self_attn.dense", "mlp.fc2"),
    final="model.final_layernorm",
    centred=True,
    epsilon=("layer_norm_eps", 1e-5),
)
_FAMILIES = {"llama": _GATED, "qwen2": _GATED, "qwen3": _GATED, "phi": _PARALLEL}


def residual_of(config: Config) -> Residual:
    """The layout of this model's family."""
    return _FAMILIES[config["model_type"]]
