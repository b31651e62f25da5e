"""Cross-entropy over a large vocabulary without ever holding all logits at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from edgelm.train.rows.batches import IGNORED

CELLS = {"cpu": 2**21, "cuda": 2**28}  # logits held at a time: what a core's cache, or a GPU's memory, likes


def summed_loss(
    hidden_ND: torch.Tensor, head_VD: torch.Tensor, labels_N: torch.Tensor, z: float = 0.0,
    dtype: torch.dtype = torch.float32, *, compiled: bool = False,
) -> torch.Tensor:  # fmt: skip
    """The cross-entropy in nats, summed over the labels that are not `IGNORED`: a scalar.

    Args:
        hidden_ND: the last hidden state of N positions.
        head_VD: the matrix that makes logits.
        labels_N: the token that comes next.
        z: weight of `(log Σ e^logit)²`, which keeps logits small; part of the gradient, not of the value.
        dtype: of the matrix products; the loss itself is computed in float32.
        compiled: make loss and gradient of a chunk in two passes over its logits, which is for a GPU.
    """
    if labels_N.device.type == "cpu":  # on a GPU shapes that change would cost more than they save
        counted_N = labels_N != IGNORED
        hidden_ND, labels_N = hidden_ND[counted_N], labels_N[counted_N]
    return _Summed.apply(hidden_ND, head_VD, labels_N, z, dtype, torch.is_grad_enabled(), compiled)


class _Summed(torch.autograd.Function):
    """The gradients are made together with the loss, chunk by chunk, so that logits are computed once."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: torch.Tensor, head_VD: torch.Tensor, labels_N: torch.Tensor, z: float, dtype: torch.dtype,
        learning: bool, compiled: bool,
    ) -> torch.Tensor:  # fmt: skip
        source = hidden_ND.dtype
        hidden_ND, head_VD = hidden_ND.to(dtype), head_VD.to(dtype)
        wanted = learning and (ctx.needs_input_grad[0] or ctx.needs_input_grad[1])
        total = torch.zeros((), device=labels_N.device)
        if wanted:
            d_hidden_ND = torch.empty_like(hidden_ND)
            d_head_VD = torch.zeros(head_VD.shape, device=head_VD.device)
        learn = _fused() if compiled else in_place
        chunk = max(1, CELLS[labels_N.device.type] // len(head_VD))
        for start in range(0, len(labels_N), chunk):
            part = slice(start, start + chunk)
            logits_NV = hidden_ND[part] @ head_VD.T
            if not wanted:
                total += loss_of(logits_NV.float(), labels_N[part])[0]
            else:
                loss, d_logits_NV = learn(logits_NV, labels_N[part], z)
                total += loss
                torch.mm(d_logits_NV, head_VD, out=d_hidden_ND[part])
                if dtype == torch.float32:
                    d_head_VD.addmm_(d_logits_NV.T, hidden_ND[part])
                else:
                    d_head_VD += d_logits_NV.T @ hidden_ND[part]
        if wanted:
            ctx.save_for_backward(d_hidden_ND.to(source), d_head_VD)
        return total

    @staticmethod
    def backward(ctx: Any, *scales: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_hidden_ND, d_head_VD = ctx.saved_tensors
        return d_hidden_ND * scales[0], d_head_VD * scales[0], None, None, None, None, None


def loss_of(logits_NV: torch.Tensor, labels_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed loss of a chunk, and the log-sum-exp of each position (N, 1)."""
    sum_N1 = logits_NV.logsumexp(dim=-1, keepdim=True)
    losses_N1 = sum_N1 - logits_NV.gather(1, labels_N.clamp(min=0)[:, None])
    return (losses_N1[:, 0] * (labels_N != IGNORED)).sum(), sum_N1


def in_place(logits_NV: torch.Tensor, labels_N: torch.Tensor, z: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed loss of a chunk, and its gradient by the logits, which takes their place in memory."""
    scores_NV = logits_NV.float()
    loss, sum_N1 = loss_of(scores_NV, labels_N)
    d_logits_NV = scores_NV.sub_(sum_N1).exp_()
    if z:
        d_logits_NV *= 1 + 2 * z * sum_N1
    d_logits_NV.scatter_add_(1, labels_N.clamp(min=0)[:, None], torch.full_like(sum_N1, -1.0))
    if labels_N.device.type != "cpu":  # there no label is ignored any more
        d_logits_NV *= (labels_N != IGNORED)[:, None]
    return loss, d_logits_NV.to(logits_NV.dtype)


def by_comparing(logits_NV: torch.Tensor, labels_N: torch.Tensor, z: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The same without a step that a compiler could not join to the others."""
    scores_NV = logits_NV.float()
    loss, sum_N1 = loss_of(scores_NV, labels_N)
    right_NV = torch.arange(logits_NV.shape[1], device=labels_N.device) == labels_N[:, None]
    d_logits_NV = (scores_NV - sum_N1).exp() * (1 + 2 * z * sum_N1) - right_NV.float()
    return loss, (d_logits_NV * (labels_N != IGNORED)[:, None]).to(logits_NV.dtype)


@cache
def _fused() -> Any:
    return torch.compile(by_comparing, dynamic=False)
