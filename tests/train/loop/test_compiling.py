"""Compiling layers, and the way back where that does not work."""

from __future__ import annotations

import torch

from edgelm.train.base import Tuning
from edgelm.train.loop.compiling import compile_layers
from edgelm.train.loop.model import Objective, fresh
from edgelm.train.rows.batches import Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards


def test_what_cannot_be_compiled_is_trained_as_it_is_with_one_line_of_reason(tiny, shards, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler here\nand a long story")

    read = Shards(shards)
    batch = Batches(read, pack(read.lengths, tiny.CONTEXT), tiny.CONTEXT, 0)(0, 2)
    objective = Objective(fresh(tiny.SHAPE, Tuning(0), tiny.TOKENIZER, 0))
    before = objective(batch)
    monkeypatch.setattr(torch, "compile", lambda function, **_: broken)
    notes: list[str] = []
    assert compile_layers(objective, batch, notes.append) is False
    assert notes == ["not compiled, which is slower: RuntimeError: no compiler here"]
    assert torch.equal(objective(batch), before)
    assert all(parameter.grad is None for parameter in objective.parameters())
