"""One forward of a stock transformers model over a packed row of tokens, with our own attention and our own cache."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from edgelm.engines.attention import NAME, Foreign, Fresh, Step
from edgelm.engines.kv_cache import Beginning
from edgelm.engines.weights import Reordered


class Forward:
    """A model that runs packed steps. Attention is ours only within such a step; outside it the model is as it was."""

    def __init__(self, model: Any) -> None:
        self.model, self.device = model, model.device
        self._reordered = Reordered(model)
        self._slices = "logits_to_keep" in inspect.signature(model.forward).parameters
        config = model.config.get_text_config()
        self._layers: int = config.num_hidden_layers
        self.vocabulary: int = config.vocab_size

    def logits(self, ids: Sequence[int], positions: Sequence[int], step: Step, wanted: Sequence[int]) -> Tensor:
        """What the model expects after each of the `wanted` tokens: len(wanted) × vocabulary, in FP32."""
        ids_1T, positions_1T = torch.tensor([ids, positions], device=self.device).split(1)
        wanted_R = torch.tensor(wanted, device=self.device)
        keep = {"logits_to_keep": wanted_R} if self._slices else {}
        with self._ours():
            logits_1RV = self.model(
                input_ids=ids_1T, position_ids=positions_1T, use_cache=False, step=step, **keep
            ).logits
        if len(step.layers) != self._layers:
            raise Foreign(f"{len(step.layers)} of {self._layers} layers attend through transformers' interface")
        return (logits_1RV[0] if self._slices else logits_1RV[0, wanted_R]).float()

    def plain(self, ids: Sequence[int]) -> Tensor:
        """What the model expects after each token of one text when it is run as it is: tokens × vocabulary, in FP32."""
        return self.model(torch.tensor([ids], device=self.device), use_cache=False).logits[0].float()

    def beginning(self, ids: Sequence[int]) -> Beginning:
        """The keys and values of a shared beginning."""
        kept = Beginning()
        self.logits(ids, range(len(ids)), Step([Fresh(0, len(ids), kept)]), [len(ids) - 1])
        return kept

    @torch.inference_mode()
    def bytes_kept(self) -> int:
        """Bytes of keys and values that one token leaves in all layers."""
        return sum(kept.nbytes for layer in self.beginning([0]).layers.values() for kept in layer)

    def bias(self, length_N: Tensor, longest: int) -> Tensor:
        """0 for each row's keys, its newest included, −∞ beyond: N × 1 × 1 × longest."""
        width = -(-longest // 16) * 16  # GPU kernels want rows that begin on such a border
        beyond_NS = torch.arange(width, device=self.device) > length_N[:, None]
        bias_NS = torch.zeros(beyond_NS.shape, dtype=self.model.dtype, device=self.device)
        return bias_NS.masked_fill_(beyond_NS, -torch.inf)[:, None, None, :longest]

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        config = self.model.config
        usual = config._attn_implementation
        config._attn_implementation = NAME
        try:
            with self._reordered:
                yield
        finally:
            config._attn_implementation = usual
