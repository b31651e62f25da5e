"""What is learned from: the base as the teacher, and sequences in an order that a seed decides."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from edgelm.compress.base import Tokens
from edgelm.compress.stream.model import Model


def teacher_of(model: Model) -> Model:
    """The base with the tokens that the model still has: both then read and predict the same ids."""
    assert model.base is not None
    teacher = Model(model.base.config, model.base.pieces, model.base.dtype, model.base.device)
    if model.idmap is not None:
        teacher.keep_rows(model.idmap)
    return teacher


def text_of(model: Model, batches: Sequence[Tokens], tokens: int) -> Sequence[Tokens]:
    """About so many tokens of text, as far as there is any; the calibration sequences if there is none."""
    return (model.healing(tokens) if model.healing else None) or batches


def lessons(text: Sequence[Tokens], tokens: int, batch: int, seed: str) -> list[list[int]]:
    """Which sequences each update learns from: all of them in random order, as often as it takes to read `tokens`."""
    order = list(_order([len(sequence) for sequence in text], tokens, seed))
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def _order(lengths: Sequence[int], tokens: int, seed: str) -> Iterator[int]:
    shuffle, read = random.Random(seed), 0
    while read < tokens:
        for number in shuffle.sample(range(len(lengths)), len(lengths)):
            if read >= tokens:
                return
            yield number
            read += lengths[number]
