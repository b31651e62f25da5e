"""Keep the channels and heads whose columns of the output matrix are longest: ‖W_:,j‖₂."""

from __future__ import annotations

from typing import Any

from peers.network import Batches, best, keep_channels, keep_heads, layers, split

VARIANTS = ("channels", "channels and heads")


def look(network: Any, batches: Batches) -> None:
    """Nothing has to be known of the text."""


def cut(network: Any, seen: None, removed: float, seed: int, variant: str) -> None:
    heads, channels = split(network, removed, heads=variant != "channels")
    config = network.config
    for layer in layers(network):
        keep_channels(layer, best(layer.mlp.down_proj.weight.detach().norm(dim=0), channels))
        energy_H = (
            layer.self_attn.o_proj.weight.detach().square().sum(0).unflatten(0, (-1, layer.self_attn.head_dim)).sum(1)
        )
        keep_heads(layer, best(energy_H, heads, config.num_key_value_heads))
