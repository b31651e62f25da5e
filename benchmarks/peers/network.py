"""What the peers share: a whole gated model in memory (Llama, Qwen2), whose layers may become of unequal shape.

Letters: T tokens, D model width, H query heads, G key/value heads, K head size, F feed-forward width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Batches = Sequence[Sequence[int]]  # token ids


class DoesNotRun(Exception):
    """A peer that cannot cut this model, with the reason: a row of the table, no crash."""


def layers(network: Any) -> Any:
    return network.model.layers


def backbone(network: Any) -> int:
    """Parameters between embedding and head, and any that a peer has added there."""
    return sum(tensor.numel() for tensor in layers(network).parameters())


def ids(tokens: Sequence[int], network: Any) -> Tensor:
    return torch.tensor([list(tokens)], device=network.model.embed_tokens.weight.device)


@contextmanager
def watching(modules: dict[Any, nn.Module]) -> Iterator[dict[Any, Tensor]]:
    """What modules are given, each (T × in)."""
    seen: dict[Any, Tensor] = {}

    def note(key: Any) -> Callable[..., None]:
        return lambda _, inputs: seen.__setitem__(key, inputs[0].detach().reshape(-1, inputs[0].shape[-1]))

    hooks = [module.register_forward_pre_hook(note(key)) for key, module in modules.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def each(
    network: Any, batches: Batches, modules: dict[Any, nn.Module], add: Callable[[dict[Any, Tensor]], None]
) -> None:
    """Run all sequences; `add` has what the modules are given in each, the first token left out as ours does."""
    with watching(modules) as seen:
        for tokens in batches:
            network(ids(tokens, network), use_cache=False)
            add({key: tensor[1:] for key, tensor in seen.items()})


def _rows(linear: Any, kept: Tensor) -> None:
    linear.weight = nn.Parameter(linear.weight.detach()[kept].clone())
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[kept].clone())
    linear.out_features = len(kept)


def _columns(linear: Any, kept: Tensor, shift_D: Tensor | None) -> None:
    """Keep columns; `shift_D` is added to the bias, by the flags `attention_bias` and `mlp_bias` of the stock class."""
    linear.weight = nn.Parameter(linear.weight.detach()[:, kept].clone())
    linear.in_features = len(kept)
    if shift_D is not None:
        linear.bias = nn.Parameter(shift_D if linear.bias is None else linear.bias.detach() + shift_D)


def keep_channels(layer: Any, kept: Tensor, shift_D: Tensor | None = None) -> None:
    _rows(layer.mlp.gate_proj, kept)
    _rows(layer.mlp.up_proj, kept)
    _columns(layer.mlp.down_proj, kept, shift_D)


def columns_of(heads: Tensor, size: int) -> Tensor:
    return (heads[:, None] * size + torch.arange(size, device=heads.device)).flatten()


def keep_heads(layer: Any, kept: Tensor, shift_D: Tensor | None = None) -> None:
    """Keep query heads, as many of every group; keys and values stay."""
    attention = layer.self_attn
    columns = columns_of(kept, attention.head_dim)
    _rows(attention.q_proj, columns)
    _columns(attention.o_proj, columns, shift_D)
    attention.num_key_value_groups = len(columns) // attention.k_proj.out_features


def keep_layers(network: Any, kept: Sequence[int]) -> None:
    network.model.layers = nn.ModuleList([layers(network)[number] for number in kept])
    network.config.num_hidden_layers = len(kept)


def split(network: Any, removed: float, *, heads: bool) -> tuple[int, int]:
    """How many query heads and channels stay in every layer to remove that share of the backbone.

    Heads go in steps of one in every group; channels, of any number, make up for what those steps leave.
    """
    config, layer = network.config, layers(network)[0]
    whole = sum(tensor.numel() for tensor in layer.parameters())
    readers = config.num_attention_heads // config.num_key_value_heads
    left = max(1, int(readers * (1 - removed) + 0.5)) if heads else readers
    kept_heads = left * config.num_key_value_heads
    gone = (config.num_attention_heads - kept_heads) * 2 * config.hidden_size * layer.self_attn.head_dim
    channels = config.intermediate_size - round((removed * whole - gone) / (3 * config.hidden_size))
    if channels < 1:
        raise DoesNotRun(f"feed-forwards alone hold less than {removed:.0%} of the backbone")
    return kept_heads, min(channels, config.intermediate_size)


def best(worth_N: Tensor, count: int, groups: int = 1) -> Tensor:
    """The `count` best of all, ascending: as many of each of so many equal runs."""
    order = worth_N.unflatten(0, (groups, -1)).argsort(dim=1, descending=True, stable=True)[:, : count // groups]
    first = torch.arange(groups, device=worth_N.device)[:, None] * (len(worth_N) // groups)
    return (order + first).flatten().sort().values
