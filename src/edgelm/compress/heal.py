"""Train what is left to predict again what the base predicts (distillation, arXiv 1503.02531; LoRA, 2106.09685)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.costs.bounds import HELD
from edgelm.errors import BadOption
from edgelm.files import canonical_json, sha256_bytes
from edgelm.shapes import shape_of

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

_MUCH = 0.25  # share of the parameters removed above which corrections of low rank are too little
_RATES = {"block": 1e-4, "lora": 2e-4, "full": 1e-4}


@dataclass(frozen=True)
class Heal:
    """Learn from the base on text; no shape changes.

    Attributes:
        tokens: how many are read, over and over if there is less text; by `block` in every layer.
        method: `full` learns all weights and `lora` low-rank corrections of them, with model and base in memory;
            `block` one layer after another, with one in memory. Without: `full` if more than a quarter of the
            parameters is gone, else `lora`.
        tau: temperature at which predictions are compared.
        alpha: share of the base's predictions in the loss; the rest is the text's own.
        rank: of the corrections.
        lr: rate at its peak; it falls to a tenth.
        batch: sequences of an update.
        seed: of the order of the text, and of the corrections.
    """

    tokens: int
    method: Literal["block", "lora", "full"] | None = None
    tau: float = 1.0
    alpha: float = 0.9
    rank: int = 64
    lr: float | None = None
    batch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("tokens", self.tokens >= 0, "a number of tokens, such as 50M")
        self._require("tau", self.tau > 0, "more than 0")
        self._require("alpha", 0 <= self.alpha <= 1, "a share from 0 to 1")
        self._require("rank", self.rank >= 1, "1 or more")
        self._require("lr", self.lr is None or self.lr > 0, "more than 0")
        self._require("batch", self.batch >= 1, "1 or more")

    def _require(self, name: str, right: bool, mend: str) -> None:
        if not right:
            raise BadOption(f"heal:{name}={getattr(self, name)} is not possible", mend=f"give {mend}")

    def idle(self, config: Config) -> bool:
        """Whether nothing is learned."""
        return self.tokens == 0

    def plan(self, config: Config) -> Config:
        """The same configuration."""
        return config

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Learn from `model.base` on `model.healing`, or on the calibration sequences where there is no other text."""
        from edgelm.compress.healing.block import heal_layers  # torch, which a plan does without
        from edgelm.compress.healing.lessons import teacher_of, text_of
        from edgelm.compress.healing.whole import heal_network

        method = self.method or _method(model)
        lr = self.lr or _RATES[method]
        text = text_of(model, batches, min(self.tokens, HELD) if method == "block" else self.tokens)
        heal = heal_layers if method == "block" else heal_network
        curves = heal(model, teacher_of(model), text, replace(self, method=method), lr, progress)
        return {
            "method": method,
            "lr": lr,
            "text": {"sequences": len(text), "tokens": sum(map(len, text))},
            "updates": [len(curve) for curve in curves],  # of each layer, or of all at once
            "loss_first": [curve[0] for curve in curves],
            "loss_last": [curve[-1] for curve in curves],
            "loss_sha256": sha256_bytes(canonical_json(curves)),
            "warnings": self._warnings(sum(map(len, text))),
        }

    def _warnings(self, held: int) -> list[str]:
        if self.tokens < 2 * held:
            return []
        return [f"heal: {held:,} tokens of text were read {self.tokens / held:.0f} times over"]


def _method(model: Model) -> Literal["lora", "full"]:
    assert model.base is not None
    left = shape_of(model.config).parameters / shape_of(model.base.config).parameters
    return "full" if 1 - left > _MUCH else "lora"
