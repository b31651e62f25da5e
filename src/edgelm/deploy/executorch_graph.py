"""A stock model as a graph that ExecuTorch can hold: keys and values are its own buffers, positions are given.

Letters: T tokens read at once, C positions in all, G key/value heads, K head size, V vocabulary.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export


class Decoder(nn.Module):
    """Reads tokens at their positions, keeps their keys and values, and says the logits behind the last one.

    Args:
        model: a stock model with an attribute `model` (its layers) and `lm_head`.
        context: positions that there is room for.
    """

    def __init__(self, model: Any, context: int) -> None:
        super().__init__()
        self.model, self.context = model, context
        config = model.config
        named = inspect.signature(model.model.forward).parameters
        self._cache = "cache" if "cache" in named else "past_key_values"  # of newer and of older transformers
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        for layer in range(config.num_hidden_layers):
            for name in ("keys", "values"):
                empty = torch.zeros(1, config.num_key_value_heads, context, size, dtype=model.dtype)
                self.register_buffer(f"{name}_{layer}", empty)

    def forward(self, ids_1T: Tensor, places_T: Tensor) -> Tensor:
        """The logits behind the last token (1 × 1 × V), in float32."""
        unseen_TC = torch.arange(self.context)[None, :] > places_T[:, None]
        mask_TC = torch.zeros(unseen_TC.shape, dtype=self.model.dtype)
        mask_TC = mask_TC.masked_fill(unseen_TC, torch.finfo(self.model.dtype).min)
        states_1TD = self.model.model(
            input_ids=ids_1T, position_ids=places_T[None], attention_mask=mask_TC[None, None], use_cache=True,
            **{self._cache: _Kept(self, places_T)},
        )[0]  # fmt: skip
        logits: Tensor = self.model.lm_head(states_1TD[:, -1:]).float()
        return logits


class _Kept:
    """What a stock layer takes for its cache: it writes into the decoder's buffers and reads all of them."""

    is_compileable = False

    def __init__(self, decoder: Decoder, places_T: Tensor) -> None:
        self._decoder, self._places_T = decoder, places_T

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep keys and values (1 × G × T × K) of a layer; those of all positions (1 × G × C × K)."""
        kept = [getattr(self._decoder, f"{name}_{layer}") for name in ("keys", "values")]
        for buffer, new in zip(kept, (keys, values), strict=True):
            buffer.index_copy_(2, self._places_T, new)
        return kept[0], kept[1]

    def get_seq_length(self, *_: Any) -> int:
        """Nothing that the model could reckon with: it is given positions and mask."""
        return 0


def graph(model: Any, context: int) -> ExportedProgram:
    """The graph of a model, for any number of tokens below the context."""
    tokens = Dim("tokens", min=1, max=context - 1)
    example = (torch.zeros(1, 2, dtype=torch.long), torch.arange(2))
    with torch.no_grad():
        return export(Decoder(model, context), example, dynamic_shapes=({1: tokens}, {0: tokens}), strict=False)
