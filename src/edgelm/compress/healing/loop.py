"""Learning by AdamW, update by update, saved on the way so that a kill changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgelm.errors import BadOption
from edgelm.train.loop.state import States, restore, snapshot

EVERY = 200  # updates between two states
_WARMUP = 0.05  # share of the updates over which the rate rises
_LEAST = 0.1  # of the peak rate, where the cosine ends
_CLIP = 1.0  # length that a gradient has at most


def learn(
    learner: nn.Module, lessons: Sequence[Sequence[int]], passes: Callable[[Sequence[int]], Iterable[Tensor]],
    lr: float, told: Callable[[int], object], folder: Path | None = None,
) -> list[float]:  # fmt: skip
    """Train the learner's parameters in place; the loss of each update.

    Nothing decays: the weights are those of a trained model, which are where they are for a reason.

    Args:
        learner: all its parameters are learned.
        lessons: the sequences of each update, by their numbers.
        passes: makes the loss of an update, in parts that are sent backward one by one.
        lr: the rate at its peak.
        told: told how many updates are behind.
        folder: for states; without, an interrupted run begins anew.

    Raises:
        BadOption: the loss or its gradient is no number.
    """
    parameters = list(learner.parameters())
    optimizer = torch.optim.AdamW(parameters, lr, betas=(0.9, 0.95), weight_decay=0.0, fused=parameters[0].is_cuda)
    named = [("adamw", optimizer, lr)]
    states, losses = States(folder, keep=1) if folder else None, list[float]()
    state = states.newest(lambda state: True, lambda text: None) if states else None
    if state:
        restore(learner, named, None, state)
        losses = list(state.facts["losses"])
    for update in range(len(losses), len(lessons)):
        told(update)
        for group in optimizer.param_groups:
            group["lr"] = lr * share(update, len(lessons))
        losses.append(_update(parameters, optimizer, passes(lessons[update])))
        if states and (len(losses) % EVERY == 0 or len(losses) == len(lessons)):
            states.save(len(losses), snapshot(learner, named), {"losses": losses}, mark=False)
    return losses


def share(update: int, updates: int) -> float:
    """The share of the peak rate at an update (from 0): up, then down along a cosine."""
    warmup = math.ceil(_WARMUP * updates)
    falling = _LEAST + (1 - _LEAST) * (1 + math.cos(math.pi * update / updates)) / 2
    return min((update + 1) / warmup, falling)


def _update(parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, passes: Iterable[Tensor]) -> float:
    total = 0.0
    for loss in passes:
        loss.backward()
        total += float(loss.detach())
    norm = float(nn.utils.clip_grad_norm_(parameters, _CLIP))
    if not math.isfinite(total) or not math.isfinite(norm):
        raise BadOption("the loss or its gradient is no number", why="the weights have blown up",
                        mend="give a lower lr=")  # fmt: skip
    optimizer.step()
    optimizer.zero_grad()
    return total
