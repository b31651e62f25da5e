"""A fresh model of a stock class, and that model with its loss: what a batch goes into."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from edgelm.shapes import Shape
from edgelm.train.base import Tuning
from edgelm.train.config import stock_config
from edgelm.train.loop import attention
from edgelm.train.loop.loss import summed_loss
from edgelm.train.rows.batches import Batch

_CLASSES: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}  # fmt: skip


def fresh(shape: Shape, tuning: Tuning, tokenizer: Any, seed: int) -> Any:
    """A model with random float32 weights on the CPU: the same bytes for the same seed, whatever trains it later.

    What adds to the residual stream begins smaller, by √(2L).
    """
    kind, model_class = _CLASSES[shape.family]
    settings = stock_config(shape, tuning.theta, tokenizer, "float32")
    config = kind(**settings, initializer_range=tuning.init)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = model_class(config)
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.div_(math.sqrt(2 * shape.layers))
    return model.train()


class Objective(nn.Module):
    """A model with its loss: a batch goes in, the summed loss comes out.

    Args:
        model: a stock causal language model.
        z: see `summed_loss`.
        dtype: compute type of the products; weights and their gradients stay float32.
        compiled: whether layers and loss are compiled (`compiling.py`).
    """

    def __init__(
        self, model: Any, z: float = 0.0, dtype: torch.dtype = torch.float32, *, compiled: bool = False
    ) -> None:
        super().__init__()
        self.model, self.z, self.dtype, self.compiled = model, z, dtype, compiled
        attention.prepare(model.config, next(model.parameters()).device, compiled=compiled)

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss in nats, summed over the labels of the batch."""
        labels_N = batch.labels_BT.flatten()
        with torch.autocast(labels_N.device.type, self.dtype, enabled=self.dtype != torch.float32):
            hidden_BTD = self.model.model(
                input_ids=batch.ids_BT, position_ids=batch.positions_BT, use_cache=False,
                **attention.arguments(self.model.config, batch.documents_BT),
            ).last_hidden_state  # fmt: skip
        return summed_loss(hidden_BTD.flatten(0, 1), self.model.lm_head.weight, labels_N, self.z, self.dtype,
                           compiled=self.compiled and labels_N.is_cuda)  # fmt: skip
