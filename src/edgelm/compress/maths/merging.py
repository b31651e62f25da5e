"""The two looks at a layer whose key/value heads are merged: one to merge them, one at the result to repair it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from edgelm.compress.base import Config
from edgelm.compress.channels import Moments
from edgelm.compress.maths.attention import Attention
from edgelm.compress.maths.kv_merge import InputMoment, Merge, merge_groups
from edgelm.compress.stream.layer import Layer
from edgelm.compress.stream.rewrite import Change
from edgelm.errors import Unsupported

INPUTS = "self_attn.q_proj"  # queries, keys and values are given the same


class Merging:
    """Merges the heads of one layer by what its projections are given, then asks for an `OutputFit` (a `Collector`).

    Args:
        layer: as it is.
        number: of the layer.
        groups: how many key/value heads it shall have.
        config: of the model as it is.
        merge: see `kv_merge`.
    """

    def __init__(self, layer: Layer, number: int, groups: int, config: Config, merge: Merge) -> None:
        self._tensors, self._number, self._groups, self._merge = layer.tensors, number, groups, merge
        self._attention = Attention.of(config)
        weight = layer.tensors[f"{INPUTS}.weight"]
        self._moment = InputMoment(weight.shape[1], weight.device)

    def add(self, base: Mapping[str, Tensor], now: Mapping[str, Tensor], lengths: Sequence[int]) -> None:
        """Count some sequences: as the merged layer will see it, not as the base did."""
        self._moment.add(now[INPUTS])

    def finish(self) -> Change:
        """Merge.

        Raises:
            Unsupported: the layer computes, or holds, infinities or NaN.
        """
        moment_CC = self._moment.mean()
        self._require_finite(moment_CC)
        merged = merge_groups(self._tensors, self._attention, self._groups, moment_CC, self._merge)
        record = {"key_error": merged.key_error, "value_error": merged.value_error}
        return Change(merged.tensors, record, then=self._output_fit(merged.tensors))

    def _output_fit(self, merged: Mapping[str, Tensor]) -> OutputFit:
        output = self._attention.output
        weight, bias = f"{output}.weight", self._tensors.get(f"{output}.bias")
        return OutputFit(output, self._number, self._tensors[weight], merged[weight], bias)

    def _require_finite(self, moment_CC: Tensor) -> None:
        held = [tensor for name, tensor in self._tensors.items() if name.startswith("self_attn.")]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (moment_CC, *held)):
            raise Unsupported(f"layer {self._number} computes infinities or NaN",
                              why="its heads cannot be compared", mend="give a sound checkpoint")  # fmt: skip


class OutputFit:
    """Fits the output matrix of a merged layer to what the base's wrote into the stream (a `Collector`).

    Args:
        output: the module that reads what the heads bring.
        number: of the layer.
        before_DF: its weight in the base.
        merged_DF: its weight with the factors of the merge absorbed, from which the fit departs.
        bias: its bias, if it has one.
    """

    def __init__(self, output: str, number: int, before_DF: Tensor, merged_DF: Tensor, bias: Tensor | None) -> None:
        self._output, self._merged_DF, self._bias = output, merged_DF, bias
        self._moments = Moments(before_DF, centred=bias is not None, layer=number)

    def add(self, base: Mapping[str, Tensor], now: Mapping[str, Tensor], lengths: Sequence[int]) -> None:
        """Count some sequences: what the heads bring in the base, and what they do now that they are merged."""
        self._moments.add(base[self._output], now[self._output], lengths)

    def finish(self) -> Change:
        """Fit, and say what the merge cost before and after: Σ‖W z − W′ ẑ‖² over Σ‖W z‖²."""
        moments = self._moments
        # The sums hold what W made in the base. Merged heads bring their numbers in another basis, so that the matrix
        # to stay near, and the one that an unrepaired layer would have, is not W but W with the factors absorbed.
        moments.weight_DF = self._merged_DF.to(moments.dtype)
        kept = torch.arange(self._merged_DF.shape[1])
        fit = moments.refit(kept)
        tensors = {f"{self._output}.weight": fit.weight.to(self._merged_DF.dtype)}
        if self._bias is not None:
            tensors[f"{self._output}.bias"] = self._bias + fit.shift.to(self._bias.dtype)
        record: dict[str, Any] = {
            "penalty": fit.penalty, "error_merged": moments.error(kept, moments.slice(kept)),
            "error": moments.error(kept, fit), "warnings": self._warnings,
        }  # fmt: skip
        return Change(tensors, record)

    @property
    def _warnings(self) -> list[str]:
        wanted = 2 * self._merged_DF.shape[1]
        if self._moments.tokens >= wanted:
            return []
        return [f"kv: {self._moments.tokens} calibration tokens are fewer than {wanted}, "
                "twice the dimensions that the heads bring; give more"]  # fmt: skip
