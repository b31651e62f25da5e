"""A model whose residual stream has fewer coordinates: what becomes of the tensors that touch it.

Two bases say what the coordinates are. `Rotation` turns the stream by an orthogonal Q and keeps the first columns'
coordinates (SliceGPT, arXiv 2401.15024, with one Q for the whole model, so that shortcuts stay plain sums);
`Selection` keeps channels as they are. With y = Q′ᵀx (or y = x_S) in place of x:

    reader  W diag(γ) n → W diag(γ) Q′ n′     writer  W → Q′ᵀ W     embedding row  e → Q′ᵀ e     norm weight  γ → s

An RMSNorm's γ must go into its readers before the stream is turned, since diag(γ) and Q do not commute; a LayerNorm
cannot be turned at all. Letters: D model width, S kept coordinates, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgelm.compress.base import Config
from edgelm.compress.maths.residual import residual_of

_ROWS = 4096  # of a matrix that are worked on at a time


class Basis(Protocol):
    """What the coordinates of the new stream are."""

    def stream(self, x_TD: Tensor) -> Tensor:
        """The stream, or rows of the embedding, in new coordinates (T × S)."""
        ...

    def reader(self, weight_OD: Tensor, gain_D: Tensor) -> Tensor:
        """A matrix that reads the norm with weights `gain_D` (O × S)."""
        ...

    def writer(self, weight: Tensor) -> Tensor:
        """A matrix that writes into the stream (D × in), or its bias (D), in new coordinates."""
        ...

    def norm(self, tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
        """A norm's `weight` and `bias` (S each), with what slicing did to its divisor made good by `scale`."""
        ...


@dataclass(frozen=True)
class Rotation:
    """The stream along the columns of Q′, which are orthonormal; for RMSNorms alone."""

    Q_DS: Tensor

    def stream(self, x_TD: Tensor) -> Tensor:
        """See `Basis`."""
        return x_TD.to(self.Q_DS.dtype) @ self.Q_DS

    def reader(self, weight_OD: Tensor, gain_D: Tensor) -> Tensor:
        """See `Basis`."""
        return (weight_OD.to(self.Q_DS.dtype) * gain_D) @ self.Q_DS

    def writer(self, weight: Tensor) -> Tensor:
        """See `Basis`."""
        return self.Q_DS.T @ weight

    def norm(self, tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
        """See `Basis`."""
        return {"weight": torch.full_like(self.Q_DS[0], scale)}


@dataclass(frozen=True)
class Selection:
    """The channels `kept` of the stream.

    A norm's bias is not scaled: it is added behind the division that the scale makes good.
    """

    kept: Tensor

    def stream(self, x_TD: Tensor) -> Tensor:
        """See `Basis`."""
        return x_TD[:, self.kept]

    def reader(self, weight_OD: Tensor, gain_D: Tensor) -> Tensor:
        """See `Basis`."""
        return weight_OD[:, self.kept]

    def writer(self, weight: Tensor) -> Tensor:
        """See `Basis`."""
        return weight[self.kept]

    def norm(self, tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
        """See `Basis`."""
        return {name: tensor[self.kept] * (scale if name == "weight" else 1) for name, tensor in tensors.items()}


def narrow_layer(
    tensors: Mapping[str, Tensor], config: Config, basis: Basis, scales: Mapping[str, float]
) -> dict[str, Tensor]:
    """The tensors of a layer that change, by their names below it.

    The biases of readers and the norms of queries and keys are behind the stream, and stay.

    Args:
        tensors: of the layer, by their names below it.
        config: of the model as it was.
        basis: of the new stream.
        scales: s of each norm.
    """
    residual = residual_of(config)
    changed: dict[str, Tensor] = {}
    for norm, readers in residual.readers.items():
        own = parts(tensors, norm)
        changed |= {f"{norm}.{name}": tensor for name, tensor in basis.norm(own, scales[norm]).items()}
        for reader in readers:
            changed[f"{reader}.weight"] = basis.reader(tensors[f"{reader}.weight"], own["weight"])
    for writer in residual.writers:
        changed |= {f"{writer}.{name}": basis.writer(tensor) for name, tensor in parts(tensors, writer).items()}
    return changed


def parts(tensors: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    """The tensors of one module by their last names: `weight`, and `bias` where it has one."""
    return {name: tensors[f"{module}.{name}"] for name in ("weight", "bias") if f"{module}.{name}" in tensors}


def by_rows(rows_VD: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` of a matrix, made of its rows block by block, so that what it needs on the way is small."""
    made_VS: Tensor | None = None
    for start in range(0, len(rows_VD), _ROWS):
        block_BS = change(rows_VD[start : start + _ROWS])
        if made_VS is None:
            made_VS = block_BS.new_empty(len(rows_VD), block_BS.shape[1])
        made_VS[start : start + _ROWS] = block_BS
    assert made_VS is not None
    return made_VS
