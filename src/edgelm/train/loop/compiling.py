"""Compiling the layers of a model, with the stock code as the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from edgelm.stock import is_out_of_memory
from edgelm.train.loop import attention
from edgelm.train.loop.model import Objective
from edgelm.train.rows.batches import Batch


def compile_layers(objective: Objective, probe: Batch, note: Callable[[str], object]) -> bool:
    """Compile each decoder layer for the shape of `probe`, and whether that worked; if not, `note` is told why.

    Layers are compiled one by one: they share one compiled form, where a whole model would take minutes.
    """
    layers: list[Any] = list(objective.model.model.layers)
    torch._dynamo.reset()  # an earlier stage's forms would count against this one's
    torch._dynamo.config.optimize_ddp = False  # layers are small enough; it would cut each of them apart
    try:
        for layer in layers:
            layer.compile(dynamic=False)
        objective(probe).backward()
    except Exception as error:  # whatever a compiler raises, the model can train without it
        if is_out_of_memory(error):
            raise
        for layer in layers:
            layer._compiled_call_impl = None
        objective.compiled = False
        attention.prepare(objective.model.config, probe.ids_BT.device, compiled=False)
        first = (str(error).strip().splitlines() or [""])[0]
        note(f"not compiled, which is slower: {type(error).__name__}: {first:.200}")
        return False
    finally:
        objective.zero_grad()
    return True
