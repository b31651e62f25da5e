"""Drop the layers that change the residual stream least (block influence, arXiv 2403.03853; angle, 2403.17887)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.config import keep_layers
from edgelm.errors import BadOption

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

_DAMAGE = 0.15  # share of the layers above which generation is known to suffer first (arXiv 2408.11796)
_RUIN = 0.25  # share above which nobody gets a usable model without knowing why


@dataclass(frozen=True)
class Depth:
    """Remove layers; the first and the last one stay.

    With x_l the input of layer l, BI_l = 1 − mean cos(x_l, x_{l+1}), and the angle of a block of n is
    arccos(mean cos(x_l, x_{l+n})) / π.

    Attributes:
        drop: how many layers go.
        score: which ones: by `bi` those that turn the stream least, by `angle` the block that does.
        force: let more than a quarter of the layers go.
    """

    drop: int
    score: Literal["bi", "angle"] = "bi"
    force: bool = False

    def __post_init__(self) -> None:
        if self.drop < 0:
            raise BadOption(f"depth:drop={self.drop} is negative", mend="give the number of layers to remove")

    def idle(self, config: Config) -> bool:
        """Whether no layer goes."""
        return self.drop == 0

    def plan(self, config: Config) -> Config:
        """The configuration with `drop` layers fewer.

        Raises:
            BadOption: the model has not that many layers between its first and its last, or too many would go.
        """
        layers = config["num_hidden_layers"]
        free = max(layers - 2, 0)
        if self.drop > free:
            raise BadOption(
                f"depth:drop={self.drop} is too much for a model of {layers} layers",
                why="the first and the last layer stay",
                mend=f"drop at most {free}",
            )
        if self.drop > _RUIN * layers and not self.force:
            raise BadOption(
                f"depth:drop={self.drop} removes {self.drop / layers:.0%} of {layers} layers",
                why=f"above {_RUIN:.0%} a model no longer generates well without much training",
                mend=f"drop at most {int(_RUIN * layers)}, or add force=1: depth:drop={self.drop},force=1",
            )
        return keep_layers(config, range(layers - self.drop))

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Remove the layers; the others keep their bytes."""
        layers = model.layers
        similar = similarity(model, batches, 1 if self.score == "bi" else self.drop, progress)
        if self.score == "bi":
            scores = [1 - cosine for cosine in similar]
            dropped = sorted(sorted(range(1, layers - 1), key=scores.__getitem__)[: self.drop])
        else:
            scores = [math.acos(max(-1.0, min(1.0, cosine))) / math.pi for cosine in similar]
            start = min(range(1, layers - self.drop), key=scores.__getitem__)
            dropped = list(range(start, start + self.drop))
        model.keep_layers([layer for layer in range(layers) if layer not in dropped])
        return {"dropped": dropped, "scores": scores, "warnings": self._warnings(layers)}

    def _warnings(self, layers: int) -> list[str]:
        if self.drop <= _DAMAGE * layers:
            return []
        return [f"depth: {self.drop} of {layers} layers removed; above {_DAMAGE:.0%} free generation suffers first"]


def similarity(model: Model, batches: Sequence[Tokens], span: int, progress: Progress) -> list[float]:
    """Mean cosine of x_l and x_{l+span} for l = 0 … L−span, over all tokens but the first of each sequence."""
    passages = [model.enter(tokens) for tokens in batches]
    window = deque([passages], maxlen=span)
    cosines = []
    for number in range(model.layers):
        progress("depth: score layers", number, model.layers)
        layer = model.layer(number)
        passages = [layer.run(passage) for passage in passages]
        if len(window) == span:
            cosines.append(_mean_cosine([p.x_TD for p in window[0]], [p.x_TD for p in passages]))
        window.append(passages)
    return cosines


def _mean_cosine(before: list[Any], after: list[Any]) -> float:
    total, tokens = 0.0, 0
    for x_TD, y_TD in zip(before, after, strict=True):
        x_TD, y_TD = x_TD[1:].double(), y_TD[1:].double()
        cosine_T = (x_TD * y_TD).sum(-1) / (x_TD.norm(dim=-1) * y_TD.norm(dim=-1)).clamp_min(1e-30)
        total += float(cosine_T.sum())
        tokens += len(cosine_T)
    return total / tokens
