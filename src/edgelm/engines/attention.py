"""Cascade attention: each token over its own row, and over what it shares with others, merged by log-sum-exp.

It is registered with transformers' attention interface, so that stock models run unchanged over one packed row of
tokens from many answers. T tokens, H heads of keys, G queries a head of keys, S keys, D head size, N rows on a shelf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from edgelm.engines.kernels import kernel
from edgelm.engines.kv_cache import Beginning, Shelf, Store

NAME = "edgelm_cascade"
HARMLESS = ("position_ids", "cache_position", "use_cache", "output_", "return_")  # beginnings of names


class Foreign(Exception):
    """A model asks something of its attention that this one does not do; never shown, the plain engine steps in."""


@dataclass(frozen=True)
class Fresh:
    """New tokens of one row, which follow each other from `start` to `stop`, and where they are kept, if at all."""

    start: int
    stop: int
    store: Store | None = None


@dataclass(frozen=True)
class Lot:
    """The rows of one shelf that go on by one token.

    Attributes:
        shelf: where their keys and values are.
        slots: 0, 1, …, N − 1.
        at: each row's place among the step's tokens, N; a slice where they follow each other, which needs no copies.
        lengths: tokens that each has kept so far, N.
        bias: 0 where there is a key of the row, −∞ beyond, N × 1 × 1 × S.
    """

    shelf: Shelf
    slots: Tensor
    at: Tensor | slice
    lengths: Tensor
    bias: Tensor


@dataclass
class Step:
    """What the tokens of one packed row attend to; each token is in one `Fresh` or one `Lot`.

    Attributes:
        fresh: new tokens, which see those before them in the same entry.
        lots: rows that go on.
        shared: from, to, and the beginning that those tokens see whole.
        across: from, to, and from, to of earlier tokens of this step that those see whole.
        layers: the layers that have come by.
    """

    fresh: list[Fresh] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    shared: list[tuple[int, int, Beginning]] = field(default_factory=list)
    across: list[tuple[int, int, int, int]] = field(default_factory=list)
    layers: set[int] = field(default_factory=set)


def cascade(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any,
    scaling: float | None = None, dropout: float = 0.0, step: Step | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """An attention function of transformers': queries, keys and values as 1 × heads × T × D, out as 1 × T × heads × D.

    Raises:
        Foreign: a mask or a setting that this attention does not know.
    """
    unknown = [name for name, value in more.items() if value is not None and not name.startswith(HARMLESS)]
    if step is None or attention_mask is not None or unknown or module.layer_idx in step.layers:
        raise Foreign(", ".join(unknown) or "a mask, or a layer that attends twice")
    step.layers.add(module.layer_idx)
    heads = key.shape[1]
    q_THGD = query[0].unflatten(0, (heads, -1)).permute(2, 0, 1, 3)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out_THGD = _attend(step, module.layer_idx, q_THGD, key[0], value[0], scale)
    return out_THGD.flatten(1, 2)[None].to(query.dtype), None


AttentionInterface.register(NAME, cascade)


def _attend(step: Step, layer: int, q_THGD: Tensor, k_HTD: Tensor, v_HTD: Tensor, scale: float) -> Tensor:
    """The attention of a whole step, in FP32."""
    out_THGD = q_THGD.new_empty((*q_THGD.shape[:3], v_HTD.shape[-1]), dtype=torch.float32)
    lse_THG = q_THGD.new_empty(q_THGD.shape[:3], dtype=torch.float32)
    for each in step.fresh:
        a, b = each.start, each.stop
        _fresh(q_THGD[a:b], k_HTD[:, a:b], v_HTD[:, a:b], scale, out_THGD[a:b], lse_THG[a:b])
        if each.store:
            each.store.write(layer, k_HTD[:, a:b], v_HTD[:, a:b])
    for lot in step.lots:
        _go_on(lot, layer, q_THGD, k_HTD, v_HTD, scale, out_THGD, lse_THG)
    for a, b, first, last in step.across:
        kv = k_HTD[None, :, first:last], v_HTD[None, :, first:last]
        _merge(q_THGD[a:b], *kv, scale, out_THGD[a:b], lse_THG[a:b])
    for a, b, beginning in step.shared:
        _merge(q_THGD[a:b], *beginning.layers[layer], scale, out_THGD[a:b], lse_THG[a:b])
    return out_THGD


def _fresh(
    q_THGD: Tensor, k_HTD: Tensor, v_HTD: Tensor, scale: float, out_THGD: Tensor, lse_THG: Tensor
) -> None:  # fmt: skip
    """New tokens see those of their own row that are not after them."""
    q_GHTD = q_THGD.permute(2, 1, 0, 3)
    k_GHTD, v_GHTD = (x_HTD.expand(len(q_GHTD), -1, -1, -1) for x_HTD in (k_HTD, v_HTD))
    o_GHTD, l_GHT = kernel(q_GHTD, v_GHTD)(q_GHTD, k_GHTD, v_GHTD, scale, True, None)
    out_THGD.copy_(o_GHTD.permute(2, 1, 0, 3))
    lse_THG.copy_(l_GHT.permute(2, 1, 0))


def _go_on(
    lot: Lot, layer: int, q_THGD: Tensor, k_HTD: Tensor, v_HTD: Tensor, scale: float, out_THGD: Tensor, lse_THG: Tensor
) -> None:  # fmt: skip
    """Rows that go on keep their new token, then see exactly the tokens that they have kept."""
    k_NHTD, v_NHTD = lot.shelf.layer(layer, k_HTD, v_HTD)
    k_NHTD[lot.slots, :, lot.lengths] = k_HTD[:, lot.at].transpose(0, 1)
    v_NHTD[lot.slots, :, lot.lengths] = v_HTD[:, lot.at].transpose(0, 1)
    rows, longest = len(lot.slots), lot.bias.shape[-1]
    q_NHGD = q_THGD[lot.at]
    k_NHSD, v_NHSD = k_NHTD[:rows, :, :longest], v_NHTD[:rows, :, :longest]
    o_NHGD, l_NHG = kernel(q_NHGD, v_NHSD)(q_NHGD, k_NHSD, v_NHSD, scale, False, lot.bias)
    out_THGD[lot.at] = o_NHGD.float()
    lse_THG[lot.at] = l_NHG


def _merge(
    q_THGD: Tensor, k_1HSD: Tensor, v_1HSD: Tensor, scale: float, out_THGD: Tensor, lse_THG: Tensor
) -> None:  # fmt: skip
    """Tokens see further keys, all of them; the result is merged in FP32 with what they have seen before."""
    tokens, heads, queries, _ = q_THGD.shape
    q_1HTD = q_THGD.permute(1, 0, 2, 3).reshape(1, heads, tokens * queries, -1)
    o_1HTD, l_1HT = kernel(q_1HTD, v_1HSD)(q_1HTD, k_1HSD, v_1HSD, scale, False, None)
    o_THGD = o_1HTD[0].unflatten(1, (tokens, queries)).transpose(0, 1)
    l_THG = l_1HT[0].unflatten(1, (tokens, queries)).transpose(0, 1)
    out_THGD.lerp_(o_THGD.float(), torch.sigmoid(l_THG - lse_THG)[..., None])
    lse_THG.copy_(torch.logaddexp(l_THG, lse_THG))
