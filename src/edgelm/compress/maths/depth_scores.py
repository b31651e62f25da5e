"""How far layers, and blocks of them, turn the stream (block influence, arXiv 2403.03853; angle, 2403.17887)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from edgelm.compress.base import Progress, Tokens
from edgelm.compress.stream.device import fast_products
from edgelm.compress.stream.layer import Passage
from edgelm.compress.stream.model import Model


def least_influence(
    model: Model, batches: Sequence[Tokens], free: range, drop: int, progress: Progress
) -> dict[str, Any]:
    """The `drop` layers among `free` that turn the stream least, and the score of every layer: 1 − mean cosine."""
    scores = [1 - cosine for cosine in similarity(model, batches, 1, progress)]
    return {"dropped": sorted(sorted(free, key=scores.__getitem__)[:drop]), "scores": scores}


def least_turn(
    model: Model, batches: Sequence[Tokens], free: range, drop: int, progress: Progress, *, standing: int = 0
) -> dict[str, Any]:
    """The block of `drop` layers within `free` that turns the stream least, and the score of every block: angle / π.

    Args:
        model: what is cut.
        batches: calibration sequences.
        free: layers that may go.
        drop: how many go.
        progress: told how many layers are behind.
        standing: 1 if the layer before them shall stand for all: the block is then one longer, and its first stays.
    """
    similar = similarity(model, batches, drop + standing, progress)
    scores = [math.acos(max(-1.0, min(1.0, cosine))) / math.pi for cosine in similar]
    start = min(range(free.start, free.stop - drop + 1), key=lambda layer: scores[layer - standing])
    return {"dropped": list(range(start, start + drop)), "scores": scores}


def similarity(model: Model, batches: Sequence[Tokens], span: int, progress: Progress) -> list[float]:
    """Mean cosine of x_l and x_{l+span} for l = 0 … L−span, over all tokens but the first of each sequence."""
    passages = model.enter_all(batches)
    window = deque([passages], maxlen=span)
    cosines = []
    for number in range(model.layers):
        progress("depth: score layers", number, model.layers)
        layer = model.layer(number)
        with fast_products(model.device):
            passages = [layer.run(passage) for passage in passages]
        if len(window) == span:
            cosines.append(_mean_cosine(window[0], passages, model.device))
        window.append(passages)
    return cosines


def _mean_cosine(before: Sequence[Passage], after: Sequence[Passage], device: torch.device) -> float:
    """Summed exactly, so that the order of the sequences is of no consequence."""
    sums, tokens = [], 0
    for one, other in zip(before, after, strict=True):
        x_TD, y_TD = one.x_TD.to(device).double(), other.x_TD.to(device).double()
        cosine_T = (x_TD * y_TD).sum(-1) / (x_TD.norm(dim=-1) * y_TD.norm(dim=-1)).clamp_min(1e-30)
        for part_T in cosine_T.cpu().split(one.lengths):
            sums.append(float(part_T[1:].sum()))
            tokens += len(part_T) - 1
    return math.fsum(sums) / tokens
