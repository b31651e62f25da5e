"""A matrix fitted to its inputs and targets by least squares, held near to what it was.

Letters: T tokens, I inputs of the matrix, G coordinates of what is aimed at, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgelm.compress.costs.bounds import DOUBLE_BELOW
from edgelm.compress.maths.sums import count, damped_factor
from edgelm.errors import Unsupported

_SHARE = 3  # λ over the mean diagonal: so many times the inputs over the tokens; fewer tokens tell less
_LEAST, _MOST = 0.01, 1.0  # of that
_TINY = 1e-30

Share = Callable[[int, int], float]


def _fair(inputs: int, tokens: int) -> float:
    return min(max(_SHARE * inputs / max(tokens, 1), _LEAST), _MOST)


class Ridge:
    """Sums over tokens of what matrices are given, a, and of what they shall make of it, t.

    Args:
        where: names what is fitted, should its sums be degenerate.
        centred: whether there is a bias to take up the means.
        share: λ over the mean diagonal of Σ a aᵀ, or that by the numbers of inputs and tokens.
        without: what is said to do else, should its sums be degenerate.
    """

    def __init__(
        self, where: str, *, centred: bool, share: float | Share | None = None, without: str = "leave the step out"
    ) -> None:
        self.where, self.centred, self.tokens, self.penalty = where, centred, 0, 0.0
        self._share, self._without = share or _fair, without
        self._gram_II: Tensor  # Σ a aᵀ
        self._cross_GI: Tensor  # Σ t aᵀ
        self._given_I: Tensor  # Σ a
        self._aim_G: Tensor  # Σ t
        self._factor_II: Tensor | None = None

    def add(self, aim_TG: Tensor, given_TI: Tensor) -> None:
        """Count one sequence. Its products are in the model's precision, only sums of them in double."""
        if not self.tokens:
            self._begin(given_TI, aim_TG.shape[1])
        self.tokens += len(given_TI)
        count(self._gram_II, given_TI, given_TI)
        count(self._cross_GI, aim_TG, given_TI)
        self._given_I += given_TI.sum(0, dtype=self._given_I.dtype)
        self._aim_G += aim_TG.sum(0, dtype=self._aim_G.dtype)

    def _begin(self, given_TI: Tensor, aims: int) -> None:
        inputs = given_TI.shape[1]
        zero = given_TI.new_zeros((), dtype=torch.float64 if inputs <= DOUBLE_BELOW else torch.float32)
        self._gram_II, self._cross_GI = zero.new_zeros(inputs, inputs), zero.new_zeros(aims, inputs)
        self._given_I, self._aim_G = zero.new_zeros(inputs), zero.new_zeros(aims)

    def fit(self, start_OI: Tensor, through_OG: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """W and b, the minimum of Σ‖M t − W a − b‖² + λ‖W − W₀‖²; b is 0 where there is no bias.

        Args:
            start_OI: W₀.
            through_OG: M; without, the identity.

        Raises:
            Unsupported: the sums are too degenerate to solve; names what is fitted.
        """
        factor_II = self._factor()
        cross_GI, aim_G = self._cross_GI, self._aim_G
        if self.centred:
            cross_GI = cross_GI - torch.outer(aim_G, self._given_I) / self.tokens
        if through_OG is not None:
            cross_GI, aim_G = through_OG.to(cross_GI) @ cross_GI, through_OG.to(cross_GI) @ aim_G
        right_OI = cross_GI + self.penalty * start_OI
        weight_OI = torch.cholesky_solve(right_OI.T, factor_II).T
        shift_O = (aim_G - weight_OI @ self._given_I) / self.tokens if self.centred else torch.zeros_like(aim_G)
        return weight_OI.to(start_OI.dtype), shift_O.to(start_OI.dtype)

    def _factor(self) -> Tensor:
        """Of Σ a aᵀ + λI, once for all matrices that are given the same."""
        if self._factor_II is not None:
            return self._factor_II
        gram_II = self._gram_II
        if self.centred:
            gram_II = gram_II - torch.outer(self._given_I, self._given_I) / self.tokens
        share = self._share(len(gram_II), self.tokens) if callable(self._share) else self._share
        self.penalty = max(share * float(gram_II.diagonal().mean()), _TINY)  # where nothing passes, W is W₀
        found = damped_factor(gram_II, self.penalty)
        if found is None:
            raise Unsupported(f"{self.where} cannot be fitted", why="its sums over the calibration text are degenerate",
                              mend=f"give more calibration text, or {self._without}")  # fmt: skip
        self._factor_II, self.penalty = found
        return self._factor_II
