"""LLM-Pruner (arXiv 2305.11627): keep the coupled groups of the largest Taylor score, Σ |g ⊙ w| over all their weights.

A channel is a row of gate and of up and a column of down; a head, rows of q and columns of o. `middle` leaves the first
and the last layers whole (a tenth each, as the paper does) and cuts the others more.
"""

from __future__ import annotations

from typing import Any

import torch
from peers.network import Batches, DoesNotRun, best, ids, keep_channels, keep_heads, layers, split
from torch import Tensor

VARIANTS = ("channels", "channels and heads", "middle channels", "middle channels and heads")


def cut(network: Any, slopes: dict[tuple[int, str], Tensor], removed: float, seed: int, variant: str) -> None:
    count = len(layers(network))
    rim = max(1, count // 10) if variant.startswith("middle") else 0
    inner = range(rim, count - rim)
    share = removed * count / len(inner)
    if share >= 1:
        raise DoesNotRun("the layers in the middle are too few")
    heads, channels = split(network, share, heads="heads" in variant)
    for number in inner:
        layer = layers(network)[number]
        worth = {
            name: (parameter.detach() * slopes[number, name]).abs() for name, parameter in layer.named_parameters()
        }
        keep_channels(layer, best(_channels(worth), channels))
        keep_heads(layer, best(_heads(worth, layer.self_attn.head_dim), heads, network.config.num_key_value_heads))


def _channels(worth: dict[str, Tensor]) -> Tensor:
    return sum(
        (worth[f"mlp.{name}_proj.weight"].sum(1) for name in ("gate", "up")), worth["mlp.down_proj.weight"].sum(0)
    )


def _heads(worth: dict[str, Tensor], size: int) -> Tensor:
    worth_F = worth["self_attn.q_proj.weight"].sum(1) + worth["self_attn.o_proj.weight"].sum(0)
    return worth_F.unflatten(0, (-1, size)).sum(1)


def look(network: Any, batches: Batches) -> dict[tuple[int, str], Tensor]:
    """Gradients of the loss summed over the sequences."""
    with torch.enable_grad():
        for tokens in batches:
            given = ids(tokens, network)
            network(given, labels=given, use_cache=False).loss.backward()
    made = {(number, name): parameter.grad.clone() for number, layer in enumerate(layers(network))
            for name, parameter in layer.named_parameters()}  # fmt: skip
    network.zero_grad(set_to_none=True)
    return made
