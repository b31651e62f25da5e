"""Attention in which each document of a packed row sees itself alone: document by document, or with a block mask."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers import AttentionInterface

ONE_BY_ONE, BLOCKS = "edgelm-documents", "edgelm-blocks"  # the names under which transformers knows the two


def prepare(config: Any, device: torch.device, *, compiled: bool) -> None:
    """Let a model's configuration choose the attention: with a block mask on a GPU that compiles, else one by one."""
    config._attn_implementation = BLOCKS if compiled and device.type == "cuda" else ONE_BY_ONE


def arguments(config: Any, documents_BT: torch.Tensor) -> dict[str, Any]:
    """What a stock model's `forward` is given beside the tokens, so that documents do not see each other.

    A block mask, which skips whole blocks; or the numbers of the documents, from which `attend` takes their lengths,
    which costs Σ t² rather than T² a row.
    """
    if config._attn_implementation == BLOCKS:
        size = documents_BT.shape[1]

        def visible(row: Any, head: Any, query: Any, key: Any) -> Any:
            return (query >= key) & (documents_BT[row, query] == documents_BT[row, key])

        mask = _mask_maker()(visible, len(documents_BT), None, size, size, documents_BT.device)
        return {"block_mask": mask}
    return {"documents_BT": documents_BT}


@cache
def _mask_maker() -> Any:
    return torch.compile(create_block_mask, dynamic=False)  # else it would hold every cell of the mask at once


def lengths_of(documents_BT: torch.Tensor) -> list[int]:
    """The lengths of the documents, one after another over all rows; padding counts as one."""
    row_B1 = torch.arange(len(documents_BT), device=documents_BT.device)[:, None]
    apart_BT = documents_BT + (documents_BT.max() + 1) * row_B1
    return apart_BT.flatten().unique_consecutive(return_counts=True)[1].tolist()


@torch.compiler.disable  # a compiled form would hold for these lengths alone, and no batch has those of another
def attend(
    module: Any, query_BHTK: torch.Tensor, key_BGTK: torch.Tensor, value_BGTK: torch.Tensor, attention_mask: Any,
    *, documents_BT: torch.Tensor, scaling: float, **_: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Causal attention within each document (B, T, H, K)."""
    rows, heads, tokens, size = query_BHTK.shape
    lengths = lengths_of(documents_BT)
    parts = (each.transpose(1, 2).flatten(0, 1).split(lengths) for each in (query_BHTK, key_BGTK, value_BGTK))
    seen = []
    for document in zip(*parts, strict=True):
        query_1HtK, key_1GtK, value_1GtK = (each.transpose(0, 1)[None] for each in document)
        seen_1HtK = F.scaled_dot_product_attention(
            query_1HtK, key_1GtK, value_1GtK, is_causal=True, scale=scaling, enable_gqa=heads != key_BGTK.shape[1]
        )
        seen.append(seen_1HtK[0].transpose(0, 1))
    return torch.cat(seen).view(rows, tokens, heads, size), None


def attend_blocks(
    module: Any, query_BHTK: torch.Tensor, key_BGTK: torch.Tensor, value_BGTK: torch.Tensor, attention_mask: Any,
    *, block_mask: Any, scaling: float, **_: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """The same in the blocks of a mask (B, T, H, K): for compiled layers, outside of which it would be slow.

    Rotation leaves queries and keys in float32 where the products are bfloat16; the values have the type to compute in.
    """
    query_BHTK, key_BGTK = query_BHTK.to(value_BGTK.dtype), key_BGTK.to(value_BGTK.dtype)
    grouped = query_BHTK.shape[1] != key_BGTK.shape[1]
    seen_BHTK = flex_attention(query_BHTK, key_BGTK, value_BGTK, block_mask=block_mask, scale=scaling,
                               enable_gqa=grouped)  # fmt: skip
    return seen_BHTK.transpose(1, 2), None


AttentionInterface.register(ONE_BY_ONE, attend)
AttentionInterface.register(BLOCKS, attend_blocks)
