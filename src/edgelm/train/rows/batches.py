"""Rows of packed documents as tensors: any sample of a run, from its number and the seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from edgelm.errors import MissingInput
from edgelm.train.rows.order import samples
from edgelm.train.rows.packing import Rows
from edgelm.train.rows.shards import Shards

IGNORED = -100  # the label of a token without loss

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows of training; all tensors are int64 (B, T)."""

    ids_BT: torch.Tensor  # noqa: N815
    labels_BT: torch.Tensor  # noqa: N815  the token that follows in the same piece, IGNORED where there is no loss
    positions_BT: torch.Tensor  # noqa: N815  from 0 in each piece
    documents_BT: torch.Tensor  # noqa: N815  the pieces of a row from 1; 0 is padding

    def to(self, device: torch.device) -> Batch:
        """The same batch there; a GPU goes on computing while it arrives."""
        held = [tensor.pin_memory() if device.type == "cuda" else tensor for tensor in vars(self).values()]
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in held))


class Batches:
    """All samples of a run: each row once an epoch, in an order that depends on the seed and the epoch alone.

    Args:
        shards: where the tokens are.
        rows: which pieces of documents share a row.
        context: tokens of a row of the tensors, at least that of the longest row.
        seed: of the order; without one, rows come as they are packed.
        answers_only: no loss before a document's answer; else every token that follows another of its piece has loss.

    Raises:
        MissingInput: there is no row.
    """

    def __init__(self, shards: Shards, rows: Rows, context: int, seed: int | None, answers_only: bool = False) -> None:
        if not len(rows):
            raise MissingInput("the corpus has no row to train on", mend="give more data")
        self.shards, self.rows, self.context, self.seed, self.answers_only = shards, rows, context, seed, answers_only
        with_loss = np.maximum(0, rows.length - self._first_answer(np.arange(len(rows.length))))
        self._answers = np.add.reduceat(with_loss, rows.bounds[:-1])

    def __call__(self, first: int, count: int) -> Batch:
        """Samples `first` to `first + count` of the run, which go on into further epochs."""
        pieces, row, number = self._pieces(self._samples(first, count))
        length = self.rows.length[pieces]
        begins = np.cumsum(length) - length  # of each piece in the line of all tokens
        row_begins = np.concatenate([[0], np.cumsum(np.bincount(row, length, count)).astype(np.int64)])
        position = np.arange(length.sum()) - np.repeat(begins, length)
        place = np.repeat(row * self.context + begins - row_begins[row], length) + position  # in the flat tensors
        tokens = self._tokens(pieces)

        ids_BT, labels_BT, documents_BT = (np.full((count, self.context), fill) for fill in (0, IGNORED, 0))
        positions_BT = np.arange(self.context) - np.diff(row_begins)[:, None]  # of padding
        ids_BT.flat[place] = tokens
        documents_BT.flat[place] = np.repeat(number, length)
        positions_BT.flat[place] = position
        has_loss = position[1:] >= np.maximum(1, np.repeat(self._first_answer(pieces), length)[1:])  # of the next token
        labels_BT.flat[place[:-1][has_loss]] = tokens[1:][has_loss]
        return Batch(*map(torch.from_numpy, (ids_BT, labels_BT, positions_BT, documents_BT)))

    def answers(self, first: int, count: int) -> int:
        """How many tokens of these samples have loss."""
        return int(self._answers[self._samples(first, count)].sum())

    def documents(self, first: int, count: int) -> list[list[int]]:
        """The documents of each of these samples, to find what a bad batch was made of."""
        pieces, row, _ = self._pieces(self._samples(first, count))
        return [self.rows.document[pieces[row == number]].tolist() for number in range(count)]

    def epochs(self, sample: int) -> float:
        """How many times the corpus has been seen before a sample."""
        return sample / len(self.rows)

    def _samples(self, first: int, count: int) -> Numbers:
        """The rows of samples `first` to `first + count`."""
        if self.seed is None:
            return np.arange(first, first + count) % len(self.rows)
        return samples(first, count, len(self.rows), self.seed)

    def _pieces(self, rows: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The pieces of some rows, one after another: which, in which of the rows, and its number there from 1."""
        first, after = self.rows.bounds[rows], self.rows.bounds[rows + 1]
        row = np.repeat(np.arange(len(rows)), after - first)
        begins = np.cumsum(after - first) - (after - first)
        within = np.arange(len(row)) - begins[row]
        return first[row] + within, row, within + 1

    def _first_answer(self, pieces: Numbers) -> Numbers:
        """Where in each piece tokens begin to have loss: never at the first, which follows no token of the piece."""
        if not self.answers_only:
            return np.ones(len(pieces), np.int64)
        return np.maximum(1, self.shards.given[self.rows.document[pieces]] - self.rows.offset[pieces])

    def _tokens(self, pieces: Numbers) -> Numbers:
        asked = (getattr(self.rows, name)[pieces].tolist() for name in ("document", "offset", "length"))
        return np.concatenate([self.shards.read(*piece) for piece in zip(*asked, strict=True)]).astype(np.int64)
