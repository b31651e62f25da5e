"""Sums of products over tokens, and what is solved with them, without a third matrix of their size in memory."""

from __future__ import annotations

import torch
from torch import Tensor

_RAISES = 3  # of λ, tenfold each, before sums are given up


def count(total_AB: Tensor, one_TA: Tensor, other_TB: Tensor) -> None:
    """Add Σ_t of one · otherᵀ over the tokens of a sequence to a total.

    The product is made in the model's own precision, which is faster; only sums over sequences are in double.
    """
    if total_AB.dtype == one_TA.dtype:
        total_AB.addmm_(one_TA.T, other_TB)
    else:
        total_AB += one_TA.T @ other_TB


def damped_factor(gram_II: Tensor, penalty: float, centre_I: Tensor | None = None) -> tuple[Tensor, float] | None:
    """The Cholesky factor of the sum + λI, if given less c cᵀ of a centre c, and the λ it took.

    That is the one given, or up to a thousandfold where it is too little; None if even that is.
    """
    for _ in range(1 + _RAISES):
        factor_II = _factor(gram_II, penalty, centre_I)
        if factor_II is not None:
            return factor_II, penalty
        penalty *= 10
    return None


def _factor(gram_II: Tensor, penalty: float, centre_I: Tensor | None) -> Tensor | None:
    # column by column, as LAPACK wants it, which would copy it otherwise
    damped_II = gram_II.T.clone(memory_format=torch.contiguous_format).T
    if centre_I is not None:
        damped_II.addr_(centre_I, centre_I, alpha=-1)
    damped_II.diagonal().add_(penalty)
    failed = torch.zeros((), dtype=torch.int32, device=gram_II.device)
    torch.linalg.cholesky_ex(damped_II, out=(damped_II, failed))  # in its own place
    return None if failed else damped_II
