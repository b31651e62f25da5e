"""Low-rank corrections of the linear layers (LoRA, arXiv 2106.09685), which vanish into the weights at the end.

W_eff = W + s·B A,   A (r × in) random,   B (out × r) zero at the start,   s = α_r / r
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

SCALE = 2.0  # s, as most published runs have it


class Correction(nn.Module):
    """s·B A beside one matrix W."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        out, into = weight.shape
        rank = min(rank, out, into)
        down_RI = torch.empty(rank, into).uniform_(-1, 1, generator=generator) / math.sqrt(into)
        self.down_RI = nn.Parameter(down_RI.to(weight.device))  # A
        self.up_OR = nn.Parameter(weight.new_zeros(out, rank))  # B

    def forward(self, x: Tensor) -> Tensor:
        """What it adds to W x."""
        return SCALE * linear(linear(x, self.down_RI), self.up_OR)

    def matrix(self) -> Tensor:
        """What it adds to W."""
        return SCALE * (self.up_OR @ self.down_RI)


class Corrections(nn.Module):
    """The corrections of all linear layers of a stock model but its head; its parameters are those to learn.

    Args:
        network: its weights are frozen, and it computes with the corrections from here on.
        rank: r; less where a matrix has less.
        seed: of A.
    """

    def __init__(self, network: Any, rank: int, seed: int) -> None:
        super().__init__()
        network.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        corrected = [module for module in network.base_model.modules() if isinstance(module, nn.Linear | Conv1D)]
        self._pairs = [(module, Correction(_matrix(module), rank, generator)) for module in corrected]
        self._handles = [module.register_forward_hook(_adding(correction)) for module, correction in self._pairs]
        self.each = nn.ModuleList(correction for _, correction in self._pairs)

    @torch.no_grad()
    def merge(self) -> None:
        """Let the weights be W + s·B A: the network is a stock model again, of the same size."""
        for module, correction in self._pairs:
            _matrix(module).add_(correction.matrix())
        for handle in self._handles:
            handle.remove()


def _matrix(module: nn.Module) -> Tensor:
    """W (out × in), the module's own: GPT-2's are kept the other way round."""
    weight = module.get_parameter("weight")
    return weight.T if isinstance(module, Conv1D) else weight


def _adding(correction: Correction) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    return lambda module, given, made: made + correction(given[0])
