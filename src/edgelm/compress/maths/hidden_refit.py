"""Fit what reads a narrowed residual stream to what was read before, by least squares.

n is the output of a norm in the base, n̂ that of the same norm in the narrowed model, behind the layers already
fitted. All readers of a norm share its sums. Letters: T tokens, D model width, S its coordinates afterwards, O
outputs of a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from edgelm.compress.base import Config, Tokens
from edgelm.compress.costs.bounds import DOUBLE_BELOW
from edgelm.compress.maths.hidden_basis import Basis, by_rows, narrow_layer, parts
from edgelm.compress.maths.residual import Norm, residual_of
from edgelm.compress.stream.device import fast_products, home
from edgelm.compress.stream.layer import Layer, Passage
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.rewrite import Change
from edgelm.errors import Unsupported

_PENALTY, _PENALTY_FEW = 0.01, 0.05  # λ over the mean diagonal of Σ n̂ n̂ᵀ; the second for fewer than 2S tokens
_RAISES = 3  # of λ, tenfold each, before a norm is given up
_TINY = 1e-30


class ReaderMoments:
    """Sums over the tokens at one norm, and the readers that follow from them.

    Args:
        where: names the norm, should its sums be degenerate.

    Attributes:
        penalty: the largest λ that a fit has needed so far.
    """

    def __init__(self, where: str) -> None:
        self.where, self.tokens, self.penalty = where, 0, 0.0
        self._gram_SS: Any = 0.0  # Σ n̂ n̂ᵀ
        self._cross_DS: Any = 0.0  # Σ n n̂ᵀ
        self._base_D: Any = 0.0  # Σ n
        self._now_S: Any = 0.0  # Σ n̂

    def add(self, base_TD: Tensor, now_TS: Tensor) -> None:
        """Count one sequence: n and n̂ of the same tokens."""
        dtype = torch.float64 if base_TD.shape[-1] <= DOUBLE_BELOW else torch.float32
        self.tokens += len(base_TD)
        self._gram_SS = self._gram_SS + (now_TS.T @ now_TS).to(dtype)
        self._cross_DS = self._cross_DS + (base_TD.T @ now_TS).to(dtype)
        self._base_D = self._base_D + base_TD.to(dtype).sum(0)
        self._now_S = self._now_S + now_TS.to(dtype).sum(0)

    def fit(
        self, weight_OD: Tensor, start: Callable[[Tensor], Tensor], bias_O: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """W′ and b′, the minimum of Σ‖W n + b − W′ n̂ − b′‖² + λ‖W′ − W₀‖², by blocks of rows.

        W′ = (W Σ n n̂ᵀ + λ W₀)(Σ n̂ n̂ᵀ + λI)⁻¹. With a bias the sums are centred, and b′ takes up the means.

        Args:
            weight_OD: W, which reads n.
            start: makes rows of W₀, which reads n̂, from rows of W.
            bias_O: b, if there is one.

        Raises:
            Unsupported: the sums are too degenerate to solve; names the norm.
        """
        solver = self._plain if bias_O is None else self._centred
        weight_OS = by_rows(weight_OD, lambda rows: solver.solve(rows, start(rows)).float())
        if bias_O is None:
            return weight_OS, None
        base_D1, now_S1 = ((total / self.tokens).float()[:, None] for total in (self._base_D, self._now_S))
        shift_O1 = by_rows(weight_OD, lambda rows: rows.float() @ base_D1) - weight_OS @ now_S1
        return weight_OS, bias_O.float() + shift_O1[:, 0]

    @cached_property
    def _plain(self) -> _Solver:
        return self._solver(self._gram_SS, self._cross_DS)

    @cached_property
    def _centred(self) -> _Solver:
        return self._solver(
            self._gram_SS - torch.outer(self._now_S, self._now_S) / self.tokens,
            self._cross_DS - torch.outer(self._base_D, self._now_S) / self.tokens,
        )

    def _solver(self, gram_SS: Tensor, cross_DS: Tensor) -> _Solver:
        share = _PENALTY_FEW if self.tokens < 2 * len(gram_SS) else _PENALTY
        penalty = max(share * float(gram_SS.diagonal().mean()), _TINY)  # where nothing passes, W′ is W₀
        for _ in range(1 + _RAISES):
            damped_SS = gram_SS.clone()
            damped_SS.diagonal().add_(penalty)
            factor_SS, failed = torch.linalg.cholesky_ex(damped_SS)
            if not failed:
                self.penalty = max(self.penalty, penalty)
                return _Solver(factor_SS, cross_DS, penalty)
            penalty *= 10
        raise Unsupported(f"what reads {self.where} cannot be fitted",
                          why="its sums over the calibration text are degenerate",
                          mend="give more calibration text, or width:refit=0")  # fmt: skip


@dataclass(frozen=True)
class _Solver:
    factor_SS: Tensor  # noqa: N815
    cross_DS: Tensor  # noqa: N815
    penalty: float

    def solve(self, weight_OD: Tensor, start_OS: Tensor) -> Tensor:
        right_OS = weight_OD.to(self.cross_DS.dtype) @ self.cross_DS + self.penalty * start_OS
        return torch.cholesky_solve(right_OS.T, self.factor_SS).T


class Refitting:
    """Walks the base and the narrowed model side by side, and fits each layer's readers behind the fitted ones.

    `rewrite` of the core cannot do it, because here the two streams differ in width.

    Args:
        model: the base; its embedding must not have changed yet.
        batches: the calibration sequences.
        after: the configuration of the narrowed model.
        basis: of the narrowed stream.
    """

    def __init__(self, model: Model, batches: Sequence[Tokens], after: Config, basis: Basis) -> None:
        self._model, self._after, self._basis = model, after, basis
        self._residual = residual_of(model.config)
        self._norm, self._norm_now = self._residual.norm(model.config), self._residual.norm(after)
        self._base = model.enter_all(batches)
        self._now = [passage.through(home(basis.stream(self._here(passage)))) for passage in self._base]

    def fit(self, layer: Layer, number: int, scales: Mapping[str, float]) -> Change:
        """The next layer narrowed and fitted.

        Args:
            layer: as it was.
            number: which one it is.
            scales: s of each of its norms.

        Raises:
            Unsupported: see `ReaderMoments.fit`.
        """
        changed = narrow_layer(layer.tensors, self._model.config, self._basis, scales)
        penalties = []
        for norm in self._residual.readers:  # the second norm is fitted behind the readers of the first
            moments = ReaderMoments(f"{norm} of layer {number}")
            now = Layer(self._after, number, layer.tensors | changed)
            for x, y in zip(self._base, self._now, strict=True):
                moments.add(self._normed(layer, x, norm, self._norm), self._normed(now, y, norm, self._norm_now))
            changed |= self._fitted(layer.tensors, norm, moments)
            penalties.append(moments.penalty)
        return Change(changed, {"penalty": penalties})

    def go_on(self, layer: Layer, number: int) -> float:
        """Let both streams pass the layer, as it was and as it now lies in the model; how far they are then apart."""
        now = Layer(self._after, number, self._model.layer_tensors(number))
        with fast_products(self._model.device):
            self._base = [layer.run(passage) for passage in self._base]
            self._now = [now.run(passage) for passage in self._now]
        return self._error()

    def head(
        self, head: Mapping[str, Tensor], final: Mapping[str, Tensor], final_now: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], float]:
        """The head (`weight`, `bias`) fitted behind all layers, and its λ.

        Args:
            head: before.
            final: the norm that it reads, before.
            final_now: that norm, narrowed.

        Raises:
            Unsupported: see `ReaderMoments.fit`.
        """
        moments = ReaderMoments(self._residual.final)
        for x, y in zip(self._base, self._now, strict=True):
            base_TD, now_TS = x.rest(self._here(x)), y.rest(self._here(y))
            moments.add(self._norm.apply(base_TD, **final), self._norm_now.apply(now_TS, **final_now))
        return self._fit(head, final["weight"], moments), moments.penalty

    def _fitted(self, tensors: Mapping[str, Tensor], norm: str, moments: ReaderMoments) -> dict[str, Tensor]:
        """The readers of one norm, by their names below the layer."""
        made: dict[str, Tensor] = {}
        for reader in self._residual.readers[norm]:
            fitted = self._fit(parts(tensors, reader), tensors[f"{norm}.weight"], moments)
            made |= {f"{reader}.{name}": tensor for name, tensor in fitted.items()}
        return made

    def _fit(self, reader: Mapping[str, Tensor], gain_D: Tensor, moments: ReaderMoments) -> dict[str, Tensor]:
        weight, bias = moments.fit(
            reader["weight"], lambda rows: self._basis.reader(rows, gain_D), reader.get("bias")
        )  # fmt: skip
        return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}

    def _normed(self, layer: Layer, passage: Passage, name: str, norm: Norm) -> Tensor:
        """What a norm of a layer makes of all tokens but the first; only for the second norm must the layer run."""
        first = name == next(iter(self._residual.readers))
        x_TD = self._here(passage) if first else layer.watch(passage, [name])[1][name]
        return norm.apply(passage.rest(x_TD), **parts(layer.tensors, name))

    def _here(self, passage: Passage) -> Tensor:
        """A stream on the device to compute on."""
        return passage.x_TD.to(self._model.device)

    def _error(self) -> float:
        """Mean over the tokens of ‖Q′ᵀx − x̂‖² over ‖x‖²: how far the narrowed stream is from the base's."""
        total, tokens = 0.0, 0
        for x, y in zip(self._base, self._now, strict=True):
            base_TD, now_TS = x.rest(self._here(x)), y.rest(self._here(y))
            off_T = (self._basis.stream(base_TD) - now_TS).square().sum(-1)
            total += float((off_T / base_TD.square().sum(-1).clamp_min(_TINY)).double().sum())
            tokens += len(off_T)
        return total / tokens
