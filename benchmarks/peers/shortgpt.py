"""ShortGPT (arXiv 2403.03853): drop the layers of the least block influence, 1 − mean cos(x_l, x_{l+1}).

Layers are whole: rounded down, so that this peer never removes more than the others and mostly less.
"""

from __future__ import annotations

from typing import Any

import torch
from peers.network import Batches, each, keep_layers, layers

VARIANTS = ("layers",)


def look(network: Any, batches: Batches) -> list[float]:
    """The influence of every layer, summed over the tokens."""
    count = len(layers(network))
    influence = [0.0] * count
    watched = {number: layer.input_layernorm for number, layer in enumerate(layers(network))} | {
        count: network.model.norm
    }

    def add(seen: dict[int, torch.Tensor]) -> None:
        for number in range(count):
            influence[number] += float((1 - torch.cosine_similarity(seen[number], seen[number + 1], dim=-1)).sum())

    each(network, batches, watched, add)
    return influence


def cut(network: Any, influence: list[float], removed: float, seed: int, variant: str) -> None:
    count = len(influence)
    gone = sorted(range(count), key=influence.__getitem__)[: int(removed * count)]
    keep_layers(network, [number for number in range(count) if number not in gone])
