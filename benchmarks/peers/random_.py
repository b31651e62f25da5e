"""Random channels, heads or layers: what any method has to beat."""

from __future__ import annotations

from typing import Any

import torch
from peers.network import Batches, best, keep_channels, keep_heads, keep_layers, layers, split

VARIANTS = ("channels", "channels and heads", "layers")


def look(network: Any, batches: Batches) -> None:
    """Nothing has to be known of the text."""


def cut(network: Any, seen: None, removed: float, seed: int, variant: str) -> None:
    draw = torch.Generator().manual_seed(seed)
    if variant == "layers":
        count = len(layers(network))
        gone = (1 + torch.randperm(count - 2, generator=draw)[: int(removed * count)]).tolist()
        keep_layers(network, [number for number in range(count) if number not in gone])
        return
    heads, channels = split(network, removed, heads=variant != "channels")
    config = network.config
    for layer in layers(network):
        keep_channels(layer, best(torch.rand(config.intermediate_size, generator=draw), channels))
        worth_H = torch.rand(config.num_attention_heads, generator=draw)
        keep_heads(layer, best(worth_H, heads, config.num_key_value_heads))
