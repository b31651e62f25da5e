"""Healing all layers at once by the base's predictions: model and base are whole in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgelm.compress.base import Progress, Tokens
from edgelm.compress.healing.distil import Aim, Distillation
from edgelm.compress.healing.lessons import lessons
from edgelm.compress.healing.loop import learn
from edgelm.compress.healing.lora import Corrections
from edgelm.compress.stream.device import fast_products
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.network import network_of, put_network

if TYPE_CHECKING:
    from edgelm.compress.heal import Heal


def heal_network(
    model: Model, teacher: Model, text: Sequence[Tokens], how: Heal, lr: float, progress: Progress
) -> list[list[float]]:
    """Heal the model by learning all weights, or low-rank corrections, and write it; the one curve of losses.

    On a GPU in bfloat16 over weights in float32.

    Args:
        model: what is healed.
        teacher: see `teacher_of`.
        text: sequences to learn from.
        how: method (`full` or `lora`), tokens, batch, seed, tau, alpha, rank.
        lr: AdamW's rate at its peak.
        progress: told how many updates are done.
    """
    assert model.folder is not None
    place = model.device
    student = network_of(model).to(place)
    frozen = network_of(teacher, torch.float32 if place.type == "cpu" else torch.bfloat16).to(place)
    frozen.requires_grad_(False)
    corrections = Corrections(student, how.rank, how.seed) if how.method == "lora" else None
    distillation = Distillation(student, frozen, Aim(how.tau, how.alpha))
    order = lessons(text, how.tokens, how.batch, str(how.seed))

    def passes(lesson: Sequence[int]) -> Iterator[Tensor]:
        return distillation.passes([text[number] for number in lesson])

    with fast_products(place):
        losses = learn(corrections or student, order, passes, lr,
                       lambda update: progress("heal: learn", update, len(order)), model.folder / "states")  # fmt: skip
    if corrections:
        corrections.merge()
    put_network(model, student)
    return [losses]
