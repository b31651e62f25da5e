"""What the calibration text says of the residual stream: its directions, its channels, and what slicing takes away.

x is the stream as it enters a norm, n what the norm makes of it. x is seen itself, because the norms are watched and
not their readers alone: to recover it as n/γ would lose every channel whose γ is 0, and its length. The norm behind
all layers is in no layer; what enters it is the last layer's output, which is again the input of that layer's last
norm and what the matrices behind that norm add to it. All sums run over tokens; the first one of a sequence must be
left out by the caller (`observe` does). Letters: T tokens, B sequences, D model width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor

from edgelm.compress.base import Config
from edgelm.compress.costs.bounds import DOUBLE_BELOW
from edgelm.compress.maths.residual import Norm, residual_of
from edgelm.errors import Unsupported

Place = tuple[int, str]  # a layer and a norm below it; the norm behind all L layers is in layer L, by its full name
Made = TypeVar("Made")

_TINY = 1e-30


class HiddenStatistics(Generic[Made]):
    """Follows the stream past every norm, in order to make something of what it sees.

    Args:
        config: of the model.
        last: the tensors of its last layer, by their names below it; only some are kept.
        final: the tensors of the norm behind all layers: `weight`, and `bias` where it has one.
    """

    def __init__(self, config: Config, last: Mapping[str, Tensor], final: Mapping[str, Tensor]) -> None:
        self.residual, self.layers = residual_of(config), int(config["num_hidden_layers"])
        self.norm = self.residual.norm(config)
        self._closing = [(name, last[f"{name}.weight"], last.get(f"{name}.bias")) for name in self.residual.closing]
        self._final = {name: tensor.float() for name, tensor in final.items()}

    @property
    def watched(self) -> list[str]:
        """The modules of a layer whose inputs `add` needs."""
        norms = self.residual.readers
        return [*norms, *(readers[0] for readers in norms.values()), *self.residual.closing]

    def add(self, layer: int, inputs: Mapping[str, Tensor]) -> None:
        """Count one sequence in one layer, by the inputs of the watched modules, each (T × in).

        Raises:
            Unsupported: the stream has infinities or NaN; names the layer that is given them.
        """
        for norm, readers in self.residual.readers.items():
            self._visit((layer, norm), inputs[norm], inputs[readers[0]])
        if layer == self.layers - 1:
            x_TD = self._behind(inputs)
            self._visit((self.layers, self.residual.final), x_TD, self.norm.apply(x_TD, **self._final))

    def _behind(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The stream as it leaves the layer."""
        *_, norm = self.residual.readers
        x_TD = inputs[norm]
        for name, weight, bias in self._closing:
            x_TD = x_TD + torch.nn.functional.linear(inputs[name], weight, bias)
        return x_TD

    def _visit(self, place: Place, x_TD: Tensor, n_TD: Tensor) -> None:
        if not bool(torch.isfinite(x_TD).all()):
            at = f"layer {place[0]}" if place[0] < self.layers else "the head"
            raise Unsupported(f"{at} is given infinities or NaN", why="such a stream cannot be sliced",
                              mend="give a sound checkpoint")  # fmt: skip
        self._count(place, x_TD, n_TD)

    @abstractmethod
    def _count(self, place: Place, x_TD: Tensor, n_TD: Tensor) -> None:
        """Count one sequence at one norm."""

    @abstractmethod
    def finish(self) -> Made:
        """What was wanted."""


class Directions(HiddenStatistics[tuple[Tensor, Tensor]]):
    """The eigenvectors of C = Σ_norms Σ_t x xᵀ/‖x‖², in which each token counts once whatever its length."""

    def __init__(self, config: Config, last: Mapping[str, Tensor], final: Mapping[str, Tensor]) -> None:
        super().__init__(config, last, final)
        D = config["hidden_size"]
        dtype = torch.float64 if D <= DOUBLE_BELOW else torch.float32
        self._sum_DD = self._final["weight"].new_zeros(D, D, dtype=dtype)

    def _count(self, place: Place, x_TD: Tensor, n_TD: Tensor) -> None:
        # The product over one sequence is made in the model's own precision; only sums of products are in double.
        u_TD = x_TD / x_TD.norm(dim=-1, keepdim=True).clamp_min(_TINY)
        self._sum_DD += u_TD.T @ u_TD

    def finish(self) -> tuple[Tensor, Tensor]:
        """Orthogonal Q (D × D), a direction a column, and how much of the stream lies in each; largest first."""
        energy_D, Q_DD = torch.linalg.eigh(self._sum_DD)
        return Q_DD.flip(1).float(), energy_D.flip(0).clamp_min(0)


class ChannelScores(HiddenStatistics[Tensor]):
    """`act` of every channel: Σ_norms (Σ_B (mean_T |n|)²)^½ (arXiv 2407.14679)."""

    def __init__(self, config: Config, last: Mapping[str, Tensor], final: Mapping[str, Tensor]) -> None:
        super().__init__(config, last, final)
        self._squares: dict[Place, Tensor] = {}

    def _count(self, place: Place, x_TD: Tensor, n_TD: Tensor) -> None:
        square_D = n_TD.abs().mean(0).double().square()
        self._squares[place] = self._squares.get(place, 0) + square_D

    def finish(self) -> Tensor:
        """The score of each channel (D)."""
        return torch.stack([square_D.sqrt() for square_D in self._squares.values()]).sum(0)


class Scales(HiddenStatistics[dict[Place, float]]):
    """s = E_t[ρ′(x′)/ρ(x)] of every norm, with x′ the sliced stream and ρ what it is divided by, ε included.

    The stock class divides by ρ′ of the coordinates that are left; multiplied by s its weights undo that on average.

    Args:
        config: see `HiddenStatistics`.
        last: see there.
        final: see there.
        sliced: makes x′ of x.
        norm: that of the narrowed model, which makes ρ′.
    """

    def __init__(
        self, config: Config, last: Mapping[str, Tensor], final: Mapping[str, Tensor],
        sliced: Callable[[Tensor], Tensor], norm: Norm,
    ) -> None:  # fmt: skip
        super().__init__(config, last, final)
        self._sliced, self._norm_now = sliced, norm
        self._sums: dict[Place, float] = {}
        self._tokens: dict[Place, int] = {}

    def _count(self, place: Place, x_TD: Tensor, n_TD: Tensor) -> None:
        ratio_T1 = self._norm_now.spread(self._sliced(x_TD)) / self.norm.spread(x_TD)
        self._sums[place] = self._sums.get(place, 0.0) + float(ratio_T1.double().sum())
        self._tokens[place] = self._tokens.get(place, 0) + len(x_TD)

    def finish(self) -> dict[Place, float]:
        """The factor of every norm."""
        return {place: total / self._tokens[place] for place, total in self._sums.items()}
