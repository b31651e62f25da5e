"""Which query heads of a layer to keep, and what the matrix that reads them must become.

z is what the heads bring to the output matrix W (D × F), F = H·K; head h brings the K columns of its block. What goes
are blocks: single heads, as many of every group, or whole groups, whose key/value head goes too. Letters: T tokens,
D model width, H query heads, G key/value heads, K head size, B blocks, E columns of a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgelm.compress.base import Config
from edgelm.compress.channels import Moments
from edgelm.compress.maths.attention import Attention
from edgelm.compress.stream.layer import Layer
from edgelm.compress.stream.rewrite import Change


class BlockMoments(Moments):
    """Sums over calibration tokens that decide about blocks of neighbouring channels.

    Args:
        weight_DF: the output matrix.
        block: channels of one block.
        centred: see `Moments`.
        layer: number of the layer, for errors.
    """

    def __init__(self, weight_DF: Tensor, block: int, *, centred: bool, layer: int) -> None:
        super().__init__(weight_DF, centred=centred, layer=layer)
        self.block = block
        self.act_B = self._zeros(len(self.act_F) // block)  # Σ_sequences (mean_T ‖z_B‖)²

    def add(self, base_TF: Tensor, now_TF: Tensor, lengths: Sequence[int]) -> None:
        """Count sequences: z of the base, and of the stream as it is now, for the same tokens."""
        super().add(base_TF, now_TF, lengths)
        norm_TB = base_TF.unflatten(1, (-1, self.block)).norm(dim=-1)
        self.act_B += sum(part_TB.mean(0).square() for part_TB in norm_TB.split(list(lengths)))

    def keep_blocks(self, count: int, pools: int, score: str) -> Tensor:
        """The blocks to keep, ascending: `count` of each of `pools` equal runs of neighbouring blocks.

        Raises:
            Unsupported: the sums are too degenerate to score by `obs`; names the layer.
        """
        if score == "obs":
            return (~self._removed(count, pools)).nonzero().squeeze(1)
        energy_F = self.base_FF.diagonal() * self.weight_DF.square().sum(0)
        worth_B = self.act_B if score == "act" else energy_F.unflatten(0, (-1, self.block)).sum(1)
        kept = worth_B.unflatten(0, (pools, -1)).argsort(dim=1, descending=True, stable=True)[:, :count]
        first = torch.arange(pools, device=kept.device)[:, None] * (len(worth_B) // pools)
        return (first + kept).flatten().sort().values

    def _removed(self, count: int, pools: int) -> Tensor:
        """Mask of the blocks whose removal, with the others refitted, costs least output error.

        s_B = tr(W_B ([H̃⁻¹]_BB)⁻¹ W_Bᵀ) with H̃ = H + λI. They go one by one: W and H̃⁻¹ are always those of the layer
        refitted without those already gone (optimal brain surgeon over blocks, arXiv 2210.17323).
        """
        inverse_FF, weight_DF = self.inverse(), self.weight_DF.clone()
        removed = torch.zeros(len(self.act_B), dtype=torch.bool, device=weight_DF.device)
        for _ in range(len(removed) - count * pools):
            worth_B = self._worth(weight_DF, inverse_FF, removed)
            full = (~removed).unflatten(0, (pools, -1)).sum(1) == count
            worth_B[removed | full.repeat_interleave(len(removed) // pools)] = torch.inf
            gone = int(worth_B.argmin())
            columns = slice(gone * self.block, (gone + 1) * self.block)
            spread_EF = torch.linalg.solve(inverse_FF[columns, columns], inverse_FF[columns])
            weight_DF -= weight_DF[:, columns] @ spread_EF
            inverse_FF -= inverse_FF[:, columns] @ spread_EF
            removed[gone] = True
        return removed

    def _worth(self, weight_DF: Tensor, inverse_FF: Tensor, removed: Tensor) -> Tensor:
        """The score of every block; those removed have none that means anything."""
        blocks_BEE = inverse_FF.unflatten(0, (-1, self.block)).unflatten(2, (-1, self.block)).diagonal(dim1=0, dim2=2)
        blocks_BEE = blocks_BEE.movedim(-1, 0).clone()
        blocks_BEE[removed] = torch.eye(self.block, dtype=self.dtype, device=blocks_BEE.device)
        weight_BED = weight_DF.T.unflatten(0, (-1, self.block))
        return (weight_BED * torch.linalg.solve(blocks_BEE, weight_BED)).sum((1, 2))


class HeadCollector:
    """Decides which query heads of one layer stay (a `Collector`).

    Args:
        layer: as it is.
        number: of the layer.
        heads: how many query heads stay.
        config: of the model as it is.
        score: what ranks them: `obs`, `act` or `wact`.
        update: `ls` fits the output matrix to the heads that stay; `none` leaves their columns as they are.

    Raises:
        BadOption: groups would not be equal.
    """

    def __init__(self, layer: Layer, number: int, heads: int, config: Config, score: str, update: str) -> None:
        self._tensors, self._score, self._update = layer.tensors, score, update
        self._now = Attention.of(config)
        self._after = self._now.pruned(heads)
        self._whole = self._after.groups < self._now.groups
        output = self._now.output
        self._moments = BlockMoments(
            layer.tensors[f"{output}.weight"], self._now.size * (self._now.readers if self._whole else 1),
            centred=f"{output}.bias" in layer.tensors, layer=number,
        )  # fmt: skip

    def add(self, base: Mapping[str, Tensor], now: Mapping[str, Tensor], lengths: Sequence[int]) -> None:
        """Count some sequences."""
        self._moments.add(base[self._now.output], now[self._now.output], lengths)

    def finish(self) -> Change:
        """Cut the matrices to the heads that stay.

        Raises:
            Unsupported: the sums are too degenerate to decide by; names the layer.
        """
        heads, groups = self._kept()
        columns = _members(heads, self._now.size)
        fit = self._moments.refit(columns) if self._update == "ls" else self._moments.slice(columns)
        tensors = {**self._rows("q_proj", columns), **self._written(fit.weight, fit.shift)}
        if self._whole:
            rows = _members(groups, self._now.size)
            tensors |= {**self._rows("k_proj", rows), **self._rows("v_proj", rows)}
        return Change(tensors, {
            "kept": heads.tolist(), "penalty": fit.penalty, "error": self._moments.error(columns, fit),
            "warnings": self._moments.warnings if self._update == "ls" else [],
        })  # fmt: skip

    def _kept(self) -> tuple[Tensor, Tensor]:
        """The query heads and the key/value heads that stay, ascending."""
        if self._whole:
            groups = self._moments.keep_blocks(self._after.groups, 1, self._score)
            return _members(groups, self._now.readers), groups
        heads = self._moments.keep_blocks(self._after.readers, self._now.groups, self._score)
        return heads, torch.arange(self._now.groups)

    def _rows(self, name: str, kept: Tensor) -> dict[str, Tensor]:
        prefix = f"self_attn.{name}."
        return {name: tensor[kept] for name, tensor in self._tensors.items() if name.startswith(prefix)}

    def _written(self, weight_DS: Tensor, shift_D: Tensor) -> dict[str, Tensor]:
        weight, bias = f"{self._now.output}.weight", f"{self._now.output}.bias"
        made = {weight: weight_DS.to(self._tensors[weight].dtype)}
        if bias in self._tensors:
            made[bias] = self._tensors[bias] + shift_D.to(self._tensors[bias].dtype)
        return made


def _members(blocks: Tensor, size: int) -> Tensor:
    """The indices that blocks of so many hold."""
    return (blocks[:, None] * size + torch.arange(size, device=blocks.device)).flatten()
