"""Which sequences an update sees, and how they become tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

from edgelm.train.base import Example

IGNORED = -100  # the label of a token without loss


def draw_batches(examples: Sequence[Example], tokens: int, seed: int) -> Iterator[list[Example]]:
    """Batches of at least `tokens` tokens without end: every example once an epoch, in an order set by the seed."""
    draw = random.Random(seed)
    batch: list[Example] = []
    filled = 0
    while True:
        for example in draw.sample(examples, len(examples)):
            batch.append(example)
            filled += len(example.ids)
            if filled >= tokens:
                yield batch
                batch, filled = [], 0


def micro_batches(batch: Sequence[Example], tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batch cut into pieces of like lengths: token ids and labels (B, T) of at most `tokens` where one row fits.

    Rows are padded on the right, where a causal model cannot look, so no attention mask is needed.
    """
    piece: list[Example] = []
    for example in sorted(batch, key=lambda example: len(example.ids)):
        if piece and (len(piece) + 1) * len(example.ids) > tokens:
            yield _pad(piece)
            piece = []
        piece.append(example)
    yield _pad(piece)


def _pad(piece: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = len(piece[-1].ids)
    ids_BT = torch.zeros(len(piece), longest, dtype=torch.long)
    labels_BT = torch.full_like(ids_BT, IGNORED)
    for row, example in enumerate(piece):
        ids_BT[row, : len(example.ids)] = torch.tensor(example.ids)
        labels_BT[row, example.given : len(example.ids)] = torch.tensor(example.ids[example.given :])
    return ids_BT, labels_BT
