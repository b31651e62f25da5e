"""Attention over given keys that also tells its log-sum-exp: torch's fused kernels, and the formula where they are not.

B batch, H heads, T queries, S keys, D head size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor, Tensor, float, bool, Tensor | None], tuple[Tensor, Tensor]]


def kernel(q_BHTD: Tensor, v_BHSD: Tensor) -> Kernel:
    """The fastest one for these: (q, k, v, scale, causal, bias) → out as q, and the natural log-sum-exp, B × H × T.

    A causal call has as many keys as queries; a bias is added to the scores, B × 1 × 1 × S.
    """
    if q_BHTD.shape[-1] != v_BHSD.shape[-1]:
        return formula
    return {"cpu": flash_cpu, "cuda": efficient_cuda}.get(q_BHTD.device.type, formula)


def formula(
    q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, scale: float, causal: bool, bias_B11S: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Softmax of scaled products, in FP32, as it stands in the books."""
    s_BHTS = (q_BHTD.float() @ k_BHSD.float().transpose(2, 3)) * scale
    if bias_B11S is not None:
        s_BHTS = s_BHTS + bias_B11S
    if causal:
        later = torch.ones(s_BHTS.shape[-2:], dtype=torch.bool, device=s_BHTS.device).triu(1)
        s_BHTS = s_BHTS.masked_fill(later, -torch.inf)
    lse_BHT = s_BHTS.logsumexp(-1)
    return (s_BHTS - lse_BHT[..., None]).exp() @ v_BHSD.float(), lse_BHT


def flash_cpu(
    q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, scale: float, causal: bool, bias_B11S: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Torch's fused attention for processors."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q_BHTD, k_BHSD, v_BHSD, 0.0, causal, attn_mask=bias_B11S, scale=scale
    )


def efficient_cuda(
    q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, scale: float, causal: bool, bias_B11S: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Torch's memory-efficient attention for GPUs, the one that takes both a bias and FP32."""
    if bias_B11S is not None:
        bias_B11S = bias_B11S.expand(*q_BHTD.shape[:3], -1)
    out_BHTD, lse_BHT, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        q_BHTD, k_BHSD, v_BHSD, bias_B11S, True, 0.0, causal, scale=scale
    )
    return out_BHTD, lse_BHT[..., : q_BHTD.shape[2]]
