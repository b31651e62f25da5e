"""A layer that learns to stand for those behind it that were dropped (LLM-Streamline, arXiv 2403.19135).

    min Σ_t ‖g(x̂_l) − x_{l+n}‖² / ‖x_{l+n}‖²

g begins as layer l, the first of a block of n, whose others were dropped. x is the stream of the model as it was, and x̂
that of the shorter one, whose earlier gaps are closed already. One layer is in memory at a time, with its gradients
and Adam's two moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from edgelm.compress.base import Progress, Tokens
from edgelm.compress.costs.bounds import HELD
from edgelm.compress.healing.block import Stream, heal_layer
from edgelm.compress.healing.lessons import lessons, text_of
from edgelm.compress.stream.model import Model

_BATCH = 4  # sequences of an update


def replace_dropped(
    model: Model, found: Model, kept: Sequence[int], batches: Sequence[Tokens], *, tokens: int, lr: float,
    progress: Progress,
) -> list[dict[str, Any]]:  # fmt: skip
    """Let the layer before each gap learn, and write it; what the card says of each.

    What an earlier, interrupted run has written is taken from there.

    Args:
        model: without the dropped layers.
        found: with them.
        kept: which of its layers the model still has.
        batches: calibration sequences, to learn from where there is no other text.
        tokens: that each layer learns from.
        lr: Adam's rate at its peak.
        progress: told how many updates are behind.
    """
    text = text_of(model, batches, min(tokens, HELD))
    order = lessons(text, tokens, _BATCH, "depth")
    target = Stream.of(found, text)
    stream: Stream | None = None
    made = []
    for number, (layer, end) in enumerate(zip(kept, [*kept[1:], found.layers], strict=True)):
        if end == layer + 1:
            continue
        target.run_to(layer)
        stream = stream or Stream(model, target.passages, number)  # up to here the two are one
        stream.run_to(number)
        target.run_to(end)
        told = partial(_told, progress, f"depth: teach layer {layer}", len(order))
        losses = heal_layer(model, number, stream.passages, target.passages, order, lr, told)
        made.append({
            "layer": layer, "stands_for": list(range(layer + 1, end)), "updates": len(losses),
            "loss_first": losses[0], "loss_last": losses[-1], "tokens": sum(map(len, text)),
        })  # fmt: skip
    return made


def _told(progress: Progress, what: str, total: int, done: int) -> None:
    progress(what, done, total)
