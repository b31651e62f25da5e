"""The running average of the weights, which is often better than the last of them (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class Average:
    """An exponential average that looks back over a tenth of the updates so far.

    Args:
        model: whose parameters are averaged; of a tensor that is shared out, each process averages its share.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self.tensors = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after that many updates."""
        weight = min(1.0, 10 / step)
        for name, average in self.tensors.items():
            average.lerp_(self._parameters[name], weight)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the averaged weights; afterwards its own are back, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self.tensors.items():
            own = self._parameters[name]
            kept = own.clone()
            own.copy_(average)
            average.copy_(kept)
