"""Drop layers: those that turn the stream least, singly or as a block, or whose absence is noticed least.

Block influence is from arXiv 2403.03853, the angle of a block from 2403.17887, leaving out one layer after another from
2402.09025, and the layer that learns to stand for the dropped ones from 2403.19135.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.config import keep_layers
from edgelm.errors import BadOption
from edgelm.plugins import spec_of

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

_DAMAGE = 0.15  # share of the layers above which generation is known to suffer first (arXiv 2408.11796)
_RUIN = 0.25  # share above which nobody gets a usable model without knowing why


@dataclass(frozen=True)
class Depth:
    """Remove layers; one of `drop` and `keep` is given.

    With x_l the input of layer l, BI_l = 1 − mean cos(x_l, x_{l+1}), and the angle of a block of n is
    arccos(mean cos(x_l, x_{l+n})) / π.

    Attributes:
        drop: how many layers go.
        score: which ones: by `bi` those that turn the stream least, by `angle` the block that does; by `kl` always the
            one without which predictions are nearest to the base's, which all are tried for anew after each: about L²/2
            layers are run for each that goes.
        force: let more than a quarter of the layers go.
        keep: how many layers stay.
        protect: how many of the first and of the last layers stay in any case.
        replace: let the layer before each gap learn to do what the dropped ones did: it stands for itself and them.
        score_tokens: calibration tokens that `kl` looks at, in whole sequences.
        learn_tokens: tokens that a layer learns from for `replace`, over and over if there is less text.
        lr: rate at its peak for `replace`.
    """

    drop: int | None = None
    score: Literal["bi", "angle", "kl"] = "bi"
    force: bool = False
    keep: int | None = None
    protect: tuple[str, ...] = ("first:1", "last:1")
    replace: bool = False
    score_tokens: int = 4096
    learn_tokens: int = 250_000
    lr: float = 3e-4

    def __post_init__(self) -> None:
        if (self.drop is None) == (self.keep is None):
            raise BadOption("depth takes one of drop and keep", mend="depth:drop=4, for example")
        if self.drop is not None and self.drop < 0:
            raise BadOption(f"depth:drop={self.drop} is negative", mend="give the number of layers to remove")
        if self.keep is not None and self.keep < 1:
            raise BadOption(f"depth:keep={self.keep} leaves no layer", mend="give the number of layers that stay")
        for name in ("score_tokens", "learn_tokens", "lr"):
            if getattr(self, name) <= 0:
                raise BadOption(f"depth:{name}={getattr(self, name)} is not possible", mend="give more than 0")
        _protected(self.protect)

    def idle(self, config: Config) -> bool:
        """Whether no layer goes."""
        return self.drop == 0 or self.keep == config["num_hidden_layers"]

    def plan(self, config: Config) -> Config:
        """The configuration with fewer layers.

        Which ones stay is found by looking at the model: where they are not all of one kind, `layer_types` and
        `max_window_layers` are here those of the first; only their number is sure. No size depends on them.

        Raises:
            BadOption: the model has not that many layers beside the protected ones, or too many would go.
        """
        layers = config["num_hidden_layers"]
        drop, free = self._dropped(layers), len(self._free(layers))
        asked = f"depth:drop={self.drop}" if self.keep is None else f"depth:keep={self.keep}"
        if drop < 0:
            raise BadOption(f"{asked} is more than the model's {layers} layers", mend=f"keep fewer than {layers}")
        if drop > free:
            wrong = "much" if self.keep is None else "little"
            most = free if self.force else min(free, int(_RUIN * layers))
            raise BadOption(f"{asked} is too {wrong} for a model of {layers} layers", why=self._why_some_stay(),
                            mend=self._limit(layers, most))  # fmt: skip
        if drop > _RUIN * layers and not self.force:
            raise BadOption(
                f"{asked} removes {drop / layers:.0%} of {layers} layers",
                why=f"above {_RUIN:.0%} a model no longer generates well without much training",
                mend=f"{self._limit(layers, int(_RUIN * layers))}, or add force=1: {spec_of(self)},force=1",
            )
        return keep_layers(config, range(layers - drop))

    def _dropped(self, layers: int) -> int:
        """How many of so many layers go."""
        if self.drop is not None:
            return self.drop
        assert self.keep is not None
        return layers - self.keep

    def _free(self, layers: int) -> range:
        """Which layers may go: none that is protected, nor all; and before them one that can stand for them."""
        first, last = _protected(self.protect)
        if not first + last:
            first = 1
        return range(first + self.replace, layers - last)

    def _why_some_stay(self) -> str:
        first, last = _protected(self.protect)
        if (first, last) == (1, 1):
            stay = "the first and the last layer stay"
        else:
            stay = f"{first} at the beginning and {last} at the end stay" if first + last else "one stays"
        return f"{stay}, and one before each gap to stand for it" if self.replace else stay

    def _limit(self, layers: int, most: int) -> str:
        return f"drop at most {most}" if self.keep is None else f"keep at least {layers - most}"

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Remove the layers; the others keep their bytes, but for those that learn to stand for them."""
        from edgelm.compress.maths.depth_replace import replace_dropped  # torch, which a plan does without

        layers = model.layers
        chosen = self._chosen(model, batches, progress)
        found = copy.copy(model)
        kept = [layer for layer in range(layers) if layer not in chosen["dropped"]]
        model.keep_layers(kept)
        if self.replace:
            chosen["replaced"] = replace_dropped(
                model, found, kept, batches, tokens=self.learn_tokens, lr=self.lr, progress=progress
            )
        return {**chosen, "warnings": self._warnings(layers)}

    def _chosen(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Which layers go, and by what score, for the card."""
        from edgelm.compress.maths import depth_removals, depth_scores

        drop, free = self._dropped(model.layers), self._free(model.layers)
        if self.score == "bi":
            return depth_scores.least_influence(model, batches, free, drop, progress)
        if self.score == "angle":
            return depth_scores.least_turn(model, batches, free, drop, progress, standing=int(self.replace))
        return depth_removals.greedy(model, batches, free, drop, tokens=self.score_tokens, progress=progress)

    def _warnings(self, layers: int) -> list[str]:
        drop = self._dropped(layers)
        if drop <= _DAMAGE * layers:
            return []
        return [f"depth: {drop} of {layers} layers removed; above {_DAMAGE:.0%} free generation suffers first"]


def _protected(said: Sequence[str]) -> tuple[int, int]:
    """How many of the first layers stay, and how many of the last: `first:2`, `last:1`; what is not named may go.

    Raises:
        BadOption: it is said in another way.
    """
    counts: dict[str, int] = {}
    for part in said:
        place, _, count = part.partition(":")
        if place not in ("first", "last") or place in counts or not (count.isascii() and count.isdecimal()):
            raise BadOption(
                f"depth:protect={'+'.join(said)} is not possible", mend="protect=first:2+last:1, for example"
            )
        counts[place] = int(count)
    return counts.get("first", 0), counts.get("last", 0)
