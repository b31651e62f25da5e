"""Healing all layers at once by the base's predictions: model and base are whole in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

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

    On a GPU layers compute in bfloat16: the model over weights in float32, the base over its own, see `frozen_network`.
    Logits, the loss and gradients are in float32.

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
    frozen = frozen_network(teacher, place.type).to(place)
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


def frozen_network(teacher: Model, kind: str) -> Any:
    """The network of a teacher, which does not learn, for a kind of device (`cpu`, `cuda`).

    On a CPU its weights are in float32. On a GPU they stay as they are where they are stored in half precision; of
    weights in float32 all but the head's are rounded to bfloat16, in which the layers' products are made anyway.
    """
    stored = teacher.piece(teacher.embedding).dtype
    if kind == "cpu" or stored.itemsize == 2:
        network = network_of(teacher, torch.float32 if kind == "cpu" else stored)
    else:
        network = network_of(teacher, torch.bfloat16)
        network.lm_head.weight = nn.Parameter(teacher.head()[0])
    return network.requires_grad_(False)
