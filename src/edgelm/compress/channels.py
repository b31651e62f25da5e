"""Which hidden channels of a feed-forward layer to keep, and what the matrix that reads them must become.

a is the input of the output matrix W (D × F) in the base, â that behind the layers already compressed. S are the
kept channels, P the others. All sums run over calibration tokens. Letters: T tokens, D model width, F channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgelm.compress.base import FeedForward
from edgelm.compress.costs.bounds import DOUBLE_BELOW
from edgelm.compress.maths.sums import count, damped_factor
from edgelm.compress.stream.layer import Layer
from edgelm.compress.stream.rewrite import Change
from edgelm.errors import Unsupported

_PENALTY, _PENALTY_FEW = 0.01, 0.05  # λ over the mean diagonal of Ĥ; the second for fewer than 2F tokens
_ROUNDS = 8  # in which `obs` removes the channels, taking account of those already gone


@dataclass(frozen=True)
class Fit:
    """The output matrix for the kept channels, what is added to its bias, and the λ it was found with."""

    weight: Tensor  # D × |S|
    shift: Tensor  # D; zeros where the class has no bias
    penalty: float


class Moments:
    """Sums over calibration tokens that decide about one layer's channels.

    `centred` is for classes with an output bias: channels are then worth what they vary, as the bias takes the mean.
    """

    def __init__(self, weight_DF: Tensor, *, centred: bool, layer: int) -> None:
        D, F = weight_DF.shape
        self.layer = layer
        self.dtype = torch.float64 if F <= DOUBLE_BELOW else torch.float32
        self.weight_DF = weight_DF.detach().to(self.dtype)
        self.centred = centred
        self.tokens = 0
        self.target_energy = 0.0  # Σ‖Wa‖²
        self.act_F = self._zeros(F)  # Σ_B (mean_T |a|)²
        self.base_FF = self._zeros(F, F)  # H = Σ a aᵀ
        self.gram_FF = self._zeros(F, F)  # Ĥ = Σ â âᵀ
        self.cross_DF = self._zeros(D, F)  # W·C = Σ (W a) âᵀ
        self.base_F = self._zeros(F)  # Σ a
        self.sum_F = self._zeros(F)  # Σ â
        self.target_D = self._zeros(D)  # Σ W a

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=self.dtype, device=self.weight_DF.device)

    def add(self, base_TF: Tensor, now_TF: Tensor, lengths: Sequence[int]) -> None:
        """Count sequences of these lengths, one behind the other: a and â of the same tokens."""
        target_TD = base_TF @ self.weight_DF.to(base_TF.dtype).T
        self.tokens += len(base_TF)
        self.target_energy += float(target_TD.square().sum())
        self.act_F += sum(part_TF.abs().mean(0).square() for part_TF in base_TF.split(list(lengths)))
        count(self.base_FF, base_TF, base_TF)
        count(self.gram_FF, now_TF, now_TF)
        count(self.cross_DF, target_TD, now_TF)
        self.base_F += base_TF.sum(0)
        self.sum_F += now_TF.sum(0)
        self.target_D += target_TD.sum(0)

    @property
    def warnings(self) -> list[str]:
        """What the card should say about the number of tokens."""
        F = len(self.act_F)
        if self.tokens >= 2 * F:
            return []
        return [f"width: {self.tokens} calibration tokens are fewer than twice the {F} channels; give more"]

    @property
    def _penalty(self) -> float:
        return _PENALTY_FEW if self.warnings else _PENALTY

    def keep(self, count: int, score: str) -> Tensor:
        """The `count` channels to keep, ascending; equal scores favour the lower channel. Asked once: H is then gone.

        Raises:
            Unsupported: the sums are too degenerate to score by `obs`; names the layer.
        """
        if score == "obs":
            return self.staying(self.removals(len(self.act_F) - count))
        worth_F = self.act_F.sqrt() if score == "act" else self.base_FF.diagonal() * self.weight_DF.square().sum(0)
        self._forget_base()
        return worth_F.argsort(descending=True, stable=True)[:count].sort().values

    def _forget_base(self) -> None:
        """Make room for the fit, which takes two more matrices of nearly that size."""
        self.base_FF = self._zeros(0, 0)

    def staying(self, gone: Tensor) -> Tensor:
        """The channels that are not gone, ascending."""
        left_F = torch.ones(len(self.act_F), dtype=torch.bool, device=gone.device)
        left_F[gone] = False
        return left_F.nonzero().squeeze(1)

    def removals(self, count: int) -> Tensor:
        """The `count` channels whose removal, with the others refitted, costs least output error, in that order; once.

        s_j = ‖W_j‖² / [H̃⁻¹]_jj with H̃ = H + λI; after each round W and H̃⁻¹ are those of the refitted layer
        (optimal brain surgeon over columns, arXiv 2210.17323).
        """
        device = self.gram_FF.device
        self.gram_FF = self.gram_FF.cpu()  # a GPU has no room to spare for it meanwhile
        inverse_FF, weight_DF = self.inverse(), self.weight_DF.clone()
        self._forget_base()
        order = torch.zeros(0, dtype=torch.int64, device=weight_DF.device)
        for round_ in range(_ROUNDS):
            share = count * (round_ + 1) // _ROUNDS - count * round_ // _ROUNDS
            if share == 0:
                continue
            worth_F = weight_DF.square().sum(0) / inverse_FF.diagonal().clamp_min(1e-30)
            worth_F[order] = torch.inf
            gone = worth_F.argsort(stable=True)[:share]
            spread_PF = torch.linalg.solve(inverse_FF[gone][:, gone], inverse_FF[gone])
            weight_DF.addmm_(weight_DF[:, gone], spread_PF, alpha=-1)
            inverse_FF.addmm_(inverse_FF[:, gone], spread_PF, alpha=-1)
            order = torch.cat((order, gone))
        self.gram_FF = self.gram_FF.to(device)
        return order

    def inverse(self) -> Tensor:
        """H̃⁻¹.

        These F × F matrices are the largest things in memory: each is made in the place of the one before.

        Raises:
            Unsupported: H is too degenerate; names the layer.
        """
        centre_F = self.base_F * (self.tokens**-0.5 if self.centred else 0)
        energy_F = self.base_FF.diagonal() - centre_F.square()
        factor_FF, _ = self._cholesky(self.base_FF, max(self._penalty * float(energy_F.mean()), 1e-12), centre_F)
        return torch.cholesky_inverse(factor_FF, out=factor_FF).T  # the same, row by row

    def slice(self, kept: Tensor) -> Fit:
        """The kept columns as they are."""
        return Fit(self.weight_DF[:, kept], torch.zeros_like(self.target_D), 0.0)

    def refit(self, kept: Tensor) -> Fit:
        """W′ = (W·C_S + λ W_S)(Ĥ_SS + λI)⁻¹, the minimum of Σ‖W a − W′ â_S‖² + λ‖W′ − W_S‖², and b′ − b.

        Raises:
            Unsupported: the sums are too degenerate to solve; names the layer.
        """
        gram_SS, cross_DS = self.gram_FF[kept][:, kept], self.cross_DF[:, kept]
        sum_S, energy_F = self.sum_F[kept], self.gram_FF.diagonal()
        if self.centred:
            gram_SS.addr_(sum_S, sum_S, alpha=-1 / self.tokens)
            cross_DS.addr_(self.target_D, sum_S, alpha=-1 / self.tokens)
            energy_F = energy_F - self.sum_F.square() / self.tokens
        penalty = self._penalty * float(energy_F.mean())
        if penalty <= 0:  # nothing passes through this layer: nothing to repair
            return self.slice(kept)
        factor_SS, penalty = self._cholesky(gram_SS, penalty)
        del gram_SS  # solving copies the factor
        right_DS = cross_DS + penalty * self.weight_DF[:, kept]
        weight_DS = torch.cholesky_solve(right_DS.T, factor_SS).T
        shift_D = (self.target_D - weight_DS @ sum_S) / self.tokens if self.centred else 0 * self.target_D
        return Fit(weight_DS, shift_D, penalty)

    def _cholesky(self, gram: Tensor, penalty: float, centre: Tensor | None = None) -> tuple[Tensor, float]:
        """See `damped_factor`; that there is none is an error, which names the layer."""
        found = damped_factor(gram, penalty, centre)
        if found is not None:
            return found
        if not bool(torch.isfinite(gram).all()):
            raise Unsupported(f"layer {self.layer} computes infinities or NaN",
                              why="its channels cannot be compared", mend="give a sound checkpoint")  # fmt: skip
        raise Unsupported(
            f"the channels of layer {self.layer} cannot be told apart",
            why="their sums over the calibration text are degenerate",
            mend="give more calibration text, or width:score=wact,update=none",
        )

    def error(self, kept: Tensor, fit: Fit) -> float:
        """Σ‖W a − W′ â_S − (b′ − b)‖² over Σ‖W a‖²."""
        if self.target_energy == 0:
            return 0.0
        sum_D = fit.weight @ self.sum_F[kept]
        squared = (
            self.target_energy
            - 2 * (fit.weight * self.cross_DF[:, kept]).sum()
            + ((fit.weight @ self.gram_FF[kept][:, kept]) * fit.weight).sum()
            - 2 * fit.shift @ (self.target_D - sum_D)
            + self.tokens * fit.shift.square().sum()
        )
        return max(float(squared), 0.0) / self.target_energy


class Narrowing:
    """Decides which channels of one layer stay (a `Collector`).

    Args:
        number: of the layer.
        layer: as it is.
        parts: names of its feed-forward matrices.
        count: of the channels to keep.
        score: see `Moments.keep`.
        refit: whether the output matrix is fitted to the channels that stay.
    """

    def __init__(self, number: int, layer: Layer, parts: FeedForward, count: int, score: str, *, refit: bool) -> None:
        self._layer, self._parts, self._count, self._score, self._refit = layer, parts, count, score, refit
        self._writer = f"mlp.{parts.writer}"
        bias = layer.tensors.get(f"{self._writer}.bias")
        self._moments = Moments(layer.tensors[f"{self._writer}.weight"], centred=bias is not None, layer=number)

    def add(self, base: Mapping[str, Tensor], now: Mapping[str, Tensor], lengths: Sequence[int]) -> None:
        """Count some sequences."""
        self._moments.add(base[self._writer], now[self._writer], lengths)

    def finish(self) -> Change:
        """Cut the matrices to the channels that stay."""
        kept = self._moments.keep(self._count, self._score)
        fit = self._moments.refit(kept) if self._refit else self._moments.slice(kept)
        tensors = {}
        for name, tensor in self._layer.tensors.items():
            if name.startswith(tuple(f"mlp.{reader}." for reader in self._parts.readers)):
                tensors[name] = tensor[kept]
        tensors[f"{self._writer}.weight"] = fit.weight.float()
        if f"{self._writer}.bias" in self._layer.tensors:
            tensors[f"{self._writer}.bias"] = self._layer.tensors[f"{self._writer}.bias"] + fit.shift.float()
        return Change(tensors, {
            "kept": kept.tolist(), "penalty": fit.penalty, "error": self._moments.error(kept, fit),
            "warnings": self._moments.warnings if self._refit else [],
        })  # fmt: skip
