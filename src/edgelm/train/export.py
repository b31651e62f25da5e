"""Write a trained model as a plain Hugging Face checkpoint in fp16 or fp32, and look at what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from edgelm.checkpoint import write_config
from edgelm.errors import Unsupported
from edgelm.stock import save_tensors
from edgelm.train.loop import attention
from edgelm.train.rows.batches import Batch
from edgelm.train.tokenizer import END

Stored = Literal["fp16", "fp32"]
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
LARGEST = torch.finfo(torch.float16).max
FLUSHED = 1e-3  # share of the non-zero weights that may become zero without a word
AGREEMENT = 0.995  # share of tokens whose likeliest next token should stay the same


def write_weights(model: nn.Module, folder: Path, stored: Stored) -> dict[str, Any]:
    """Write `model.safetensors`; the share of non-zero weights that became zero.

    Raises:
        Unsupported: a weight is larger than fp16 can hold.
        NoSpace: the disk is full.
    """
    names = {name for name, _ in model.named_parameters()}  # a tied head is no parameter of its own
    whole = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items() if name in names}
    weights = {name: tensor.to(DTYPES[stored]).contiguous() for name, tensor in whole.items()}
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise Unsupported(f"{name} holds values that fp16 cannot", why=f"its largest number is {LARGEST:.0f}",
                              mend="--dtype fp32, or train with lower muon= and adamw=")  # fmt: skip
    before = sum(int(tensor.count_nonzero()) for tensor in whole.values())
    after = sum(int(tensor.count_nonzero()) for tensor in weights.values())
    save_tensors(folder / "model.safetensors", weights)
    return {"dtype": stored, "flushed_to_zero": (before - after) / max(1, before)}


def write_generation(tokenizer: Any, folder: Path) -> None:
    """Write `generation_config.json`: greedy, and an answer ends with the turn or the text."""
    ends = [tokenizer.convert_tokens_to_ids(END), tokenizer.eos_token_id]
    special = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    write_config(folder / "generation_config.json", {**special, "eos_token_id": ends, "do_sample": False})


def compare(model: Any, stored: Stored, probes: Mapping[str, Batch]) -> dict[str, Any]:
    """What storing the weights costs on some text of every source, computed as a phone would.

    Args:
        model: the trained model, float32.
        stored: the type that its weights are written in, which is also computed in here.
        probes: a batch for each source.

    Returns:
        The share of tokens whose likeliest next token is the same (`agreement`), and the largest activation.

    Raises:
        Unsupported: something overflows.
    """
    if stored == "fp32" or not probes:
        return {}
    attention.prepare(model.config, next(model.parameters()).device, compiled=False)
    exact = {name: _likeliest(model, batch)[0] for name, batch in probes.items()}
    halved = model.half()
    same = asked = 0
    largest = 0.0
    for name, batch in probes.items():
        tokens_N, activation = _likeliest(halved, batch)
        if not activation < LARGEST:
            why = f"an activation of {activation:.3g}"
            raise Unsupported(f"the model overflows in fp16 on text of {name}", why=why,
                              mend="--dtype fp32, or train with lower muon= and adamw=")  # fmt: skip
        same += int((tokens_N == exact[name]).sum())
        asked += len(tokens_N)
        largest = max(largest, activation)
    return {"agreement": same / asked, "largest_activation": largest}


@torch.no_grad()
def _likeliest(model: Any, batch: Batch) -> tuple[torch.Tensor, float]:
    """The likeliest next token of each token that is no padding, and the largest number in the residual stream."""
    largest = 0.0

    def watch(_module: nn.Module, _given: Any, made: Any) -> None:
        nonlocal largest
        made = made[0] if isinstance(made, tuple) else made
        largest = max(largest, made.abs().max().item()) if made.isfinite().all() else float("inf")

    handles = [layer.register_forward_hook(watch) for layer in model.model.layers]
    try:
        hidden_BTD = model.model(
            input_ids=batch.ids_BT, position_ids=batch.positions_BT, use_cache=False,
            **attention.arguments(model.config, batch.documents_BT),
        ).last_hidden_state  # fmt: skip
    finally:
        for handle in handles:
            handle.remove()
    return model.lm_head(hidden_BTD[batch.documents_BT > 0]).argmax(dim=-1), largest
