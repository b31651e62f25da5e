"""Bend the channels of a feed-forward towards what its layer lacks: one linearised least-squares problem a reader.

With a = φ(W_g n) ⊙ W_u n, or a = φ(W_g n), a small change V of one reader changes what the layer writes by
W_o ((n Vᵀ) ⊙ s), s being the slope of a by what that reader says. V is the minimum of

    Σ‖r − W_o ((V n) ⊙ s)‖² + λ‖V‖²

with r what is lacking, found by conjugate gradients, which need no matrix larger than V. Letters: T tokens, D model
width, F channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgelm.compress.costs.bounds import SLOPES

Activation = Callable[[Tensor], Tensor]

_ROUNDS = 6  # of conjugate gradients
_TINY = 1e-12


@dataclass(frozen=True)
class Channels:
    """A feed-forward: its readers, the activated one first (weight, and bias or 0), and what reads the channels."""

    activation: Activation
    readers: Sequence[tuple[Tensor, Tensor | float]]  # F × D, F
    writer_DF: Tensor  # noqa: N815

    def slope(self, n_TD: Tensor, which: int) -> Tensor:
        """Of each channel at each token (T × F), by what the reader `which` says."""
        said = [n_TD @ weight_FD.T + bias_F for weight_FD, bias_F in self.readers]
        with torch.enable_grad():
            by = said[which].requires_grad_(True)
            made_TF = self.activation(said[0])
            for factor_TF in said[1:]:
                made_TF = made_TF * factor_TF
            return torch.autograd.grad(made_TF.sum(), by)[0]


@torch.no_grad()
def bent_by(channels: Channels, which: int, seen: Sequence[tuple[Tensor, Tensor]], share: float) -> Tensor:
    """V, to be added to a reader's weight (F × D).

    Args:
        channels: as they are.
        which: of the readers.
        seen: of each sequence n and r (T × D each), in the host's memory.
        share: λ over the mean of what it is added to.
    """
    writer_DF, tokens = channels.writer_DF, sum(len(n_TD) for n_TD, _ in seen)
    kept: dict[int, Tensor] = {}

    def looks() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for place, pair in enumerate(seen):
            n_TD, r_TD = (given_TD.to(writer_DF.device, non_blocking=True) for given_TD in pair)
            slope_TF = kept[place] if place in kept else channels.slope(n_TD, which)
            if 4 * tokens * writer_DF.shape[1] <= SLOPES:
                kept[place] = slope_TF
            yield n_TD, r_TD, slope_TF

    right_FD = torch.zeros_like(channels.readers[which][0])
    gram_DD, square_F = right_FD.new_zeros(2 * right_FD.shape[1:]), right_FD.new_zeros(len(right_FD))
    for n_TD, r_TD, slope_TF in looks():
        gram_DD += n_TD.T @ n_TD
        square_F += slope_TF.square().sum(0)
        right_FD += ((r_TD @ writer_DF) * slope_TF).T @ n_TD
    weight_F = writer_DF.square().sum(0) * square_F / max(tokens, 1)
    energy = gram_DD.diagonal().mean()
    penalty = share * energy * weight_F.mean() + _TINY

    def normal(v_FD: Tensor) -> Tensor:
        made_FD = penalty * v_FD
        for n_TD, _, slope_TF in looks():
            written_TD = ((n_TD @ v_FD.T) * slope_TF) @ writer_DF.T
            made_FD += ((written_TD @ writer_DF) * slope_TF).T @ n_TD
        return made_FD

    damped_DD = gram_DD.double()
    damped_DD.diagonal().add_(share * energy + _TINY)
    factor_DD = torch.linalg.cholesky(damped_DD)

    def near(r_FD: Tensor) -> Tensor:
        """As if channels had nothing to do with one another, and slopes nothing with the tokens."""
        solved_FD = torch.cholesky_solve(r_FD.double().T, factor_DD).T
        return (solved_FD / weight_F.clamp_min(_TINY)[:, None]).to(r_FD.dtype)

    return _conjugate_gradients(normal, near, right_FD)


def _conjugate_gradients(normal: Activation, near: Activation, right: Tensor) -> Tensor:
    """Nearly the x for which `normal`(x) is `right`; `near` is nearly the inverse."""
    x, left = torch.zeros_like(right), right
    step = near(left)
    size = (left * step).sum()
    for _ in range(_ROUNDS):
        if not size > 0:
            break
        turned = normal(step)
        length = size / (step * turned).sum()
        x, left = x + length * step, left - length * turned
        better = near(left)
        before, size = size, (left * better).sum()
        step = better + size / before * step
    return x
