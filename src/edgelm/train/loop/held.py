"""What a model makes of held-out text: loss a token and bits a byte, source by source."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from edgelm.train.loop.distributed import World, settle
from edgelm.train.rows.batches import IGNORED, Batch, Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards

FEW = 16  # rows of a source that are looked at on the way


@dataclass(frozen=True)
class _Source:
    """The held-out documents of one source."""

    batches: Batches
    tokens_a_byte: float


class HeldOut:
    """The held-out part of a corpus.

    Args:
        shards: that part.
        context: tokens of a row.
        answers_only: of chats, measure the answers alone; no bits a byte then.
        chats_only: leave out what is no chat.
    """

    def __init__(
        self, shards: Shards, context: int, *, answers_only: bool = False, chats_only: bool = False
    ) -> None:  # fmt: skip
        self.answers_only = answers_only
        self._sources = {
            name: _Source(_in_order(shards, context, documents, answers_only), tokens_a_byte)
            for name, (documents, tokens_a_byte) in _by_name(shards, chats_only).items()
        }

    def samples(self) -> dict[str, Batch]:
        """The first row of each source."""
        return {name: source.batches(0, 1) for name, source in self._sources.items()}

    def measure(
        self, trained: nn.Module, here: World, micro: int, *, everything: bool, fixed: bool = False
    ) -> dict[str, dict[str, float]]:
        """For each source `loss` (nats a token), `tokens`, and `bpb` (bits a byte); all processes must ask.

        Args:
            trained: the objective, spread over the processes.
            here: the processes.
            micro: rows of a pass.
            everything: all rows, not only the first few of a source.
            fixed: let all passes have one shape, where another would be compiled anew.
        """
        found: dict[str, dict[str, float]] = {}
        for name, source in self._sources.items():
            rows = len(source.batches.rows) if everything else min(FEW, len(source.batches.rows))
            nats, tokens = self._sum(trained, source.batches, rows, here, micro, fixed)
            if not tokens:
                continue
            found[name] = {"loss": nats / tokens, "tokens": tokens}
            if not self.answers_only:
                found[name]["bpb"] = nats / tokens * source.tokens_a_byte / math.log(2)
        return found

    def _sum(
        self, trained: nn.Module, batches: Batches, rows: int, here: World, micro: int, fixed: bool
    ) -> tuple[float, int]:
        """Nats and tokens of the first rows: each process takes every so-many-th pass, all of them equally many."""
        total = torch.zeros((), dtype=torch.float64, device=here.device)
        passes = -(-rows // micro)
        for number in range(here.rank, -(-passes // here.size) * here.size, here.size):
            first = number * micro
            batch = batches(min(first, rows - 1), micro if fixed else max(1, min(micro, rows - first)))
            batch.labels_BT[max(1, rows - first) :] = IGNORED
            batch = batch.to(here.device)
            with torch.no_grad():
                nats = trained(batch).double()
            if first < rows:  # else it was asked only so that the processes stay together
                total += nats
        settle(trained)
        return here.total(total).item(), batches.answers(0, rows)


def _by_name(shards: Shards, chats_only: bool) -> dict[str, tuple[np.ndarray[Any, Any], float]]:
    """The documents of each source's name, and how many tokens a byte of it takes."""
    names = [source["name"] for source in shards.sources]
    tokens, read = defaultdict[str, int](int), defaultdict[str, int](int)
    for source in shards.sources:
        tokens[source["name"]] += source["held_tokens"] - source["held_documents"]  # the first of each is given
        read[source["name"]] += source["held_bytes"]
    found = {}
    for name in dict.fromkeys(names):
        numbers = [number for number, each in enumerate(names) if each == name]
        documents = np.flatnonzero(np.isin(shards.source, numbers) & (shards.chat | (not chats_only)))
        if len(documents) and read[name]:
            found[name] = (documents, tokens[name] / read[name])
    return found


def _in_order(shards: Shards, context: int, documents: np.ndarray[Any, Any], answers_only: bool) -> Batches:
    rows = pack(shards.lengths, context, documents)
    return Batches(shards, rows, context, seed=None, answers_only=answers_only)
