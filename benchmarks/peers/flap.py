"""FLAP (arXiv 2312.11983): keep what fluctuates, Var(a_j)·‖W_:,j‖², and let a bias stand for the mean of what goes.

`uniform` keeps as much of every layer, in channels or in channels and heads. `adaptive` is the paper's own: scores
are standardised within each module and compared over the whole model, by parameters; layers become of unequal shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peers.network import Batches, backbone, best, columns_of, each, keep_channels, keep_heads, layers, split
from torch import Tensor

VARIANTS = ("uniform channels", "uniform channels and heads", "adaptive channels", "adaptive channels and heads")


@dataclass
class _Spread:
    """Mean and variance of a module's inputs."""

    count: int = 0
    total: Any = 0.0
    squares: Any = 0.0

    def add(self, a_TF: Tensor) -> None:
        self.count += len(a_TF)
        self.total = self.total + a_TF.double().sum(0)
        self.squares = self.squares + a_TF.double().square().sum(0)

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def variance(self) -> Tensor:
        return self.squares / self.count - self.mean.square()


def look(network: Any, batches: Batches) -> dict[Any, _Spread]:
    spreads = {place: _Spread() for place in _writers(network)}
    each(network, batches, _writers(network), lambda seen: [spreads[place].add(a_TF) for place, a_TF in seen.items()])
    return spreads


def _writers(network: Any) -> dict[Any, Any]:
    return {(number, part): linear for number, layer in enumerate(layers(network))
            for part, linear in (("mlp", layer.mlp.down_proj), ("attention", layer.self_attn.o_proj))}  # fmt: skip


def cut(network: Any, spreads: dict[Any, _Spread], removed: float, seed: int, variant: str) -> None:
    writers = _writers(network)
    size, groups = layers(network)[0].self_attn.head_dim, network.config.num_key_value_heads
    scores = {}
    for place, writer in writers.items():
        score_F = spreads[place].variance * writer.weight.detach().double().square().sum(0)
        scores[place] = score_F if place[1] == "mlp" else score_F.unflatten(0, (-1, size)).mean(1)
    counts = (
        _uniform(network, removed, variant)
        if variant.startswith("uniform")
        else _adaptive(network, removed, variant, scores)
    )
    for (number, part), writer in writers.items():
        spread, layer = spreads[number, part], layers(network)[number]
        kept = best(scores[number, part], counts[number, part], 1 if part == "mlp" else groups)
        columns = kept if part == "mlp" else columns_of(kept, size)
        gone_F = torch.ones_like(spread.mean)
        gone_F[columns] = 0
        shift_D = (writer.weight.detach().double() @ (spread.mean * gone_F)).float()
        if part == "mlp":
            keep_channels(layer, kept, shift_D)
        elif len(columns) < len(gone_F):
            keep_heads(layer, kept, shift_D)


def _uniform(network: Any, removed: float, variant: str) -> dict[Any, int]:
    heads, channels = split(network, removed, heads="heads" in variant)
    return {(number, part): channels if part == "mlp" else heads
            for number in range(len(layers(network))) for part in ("mlp", "attention")}  # fmt: skip


def _adaptive(network: Any, removed: float, variant: str, scores: dict[Any, Tensor]) -> dict[Any, int]:
    """How many stay of each module: what scores least goes first, until enough parameters are gone; one always stays.

    A step is a channel, or a head of every group at once.
    """
    D, groups, size = (
        network.config.hidden_size,
        network.config.num_key_value_heads,
        layers(network)[0].self_attn.head_dim,
    )
    steps = []
    for place, score_N in scores.items():
        if place[1] != "mlp" and "heads" not in variant:
            continue
        if place[1] != "mlp":
            score_N = score_N.unflatten(0, (groups, -1)).sort(dim=1).values.mean(0)
        standard_N = (score_N - score_N.mean()) / score_N.std().clamp_min(1e-30)
        price = 3 * D if place[1] == "mlp" else 2 * D * size * groups
        steps += [(float(score), place, price) for score in standard_N.sort().values[:-1]]
    counts, budget = {place: len(score_N) for place, score_N in scores.items()}, removed * backbone(network)
    for _, place, price in sorted(steps, key=lambda step: step[0]):
        if price <= budget:
            counts[place] -= 1 if place[1] == "mlp" else groups
            budget -= price
    return counts
