"""Held-out text: its loss is that of computing it directly, whatever the passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edgelm.train.base import Tuning
from edgelm.train.loop import held
from edgelm.train.loop.held import HeldOut
from edgelm.train.loop.model import Objective, fresh
from edgelm.train.rows.shards import Shards, ShardWriter, write_index


@pytest.fixture
def part(shards):
    return Shards(shards, "held")


@pytest.fixture
def objective(tiny):
    return Objective(fresh(tiny.SHAPE, Tuning(0, init=0.1, theta=10.0), tiny.TOKENIZER, 0))


def directly(model, part, source, context, answers_only=False):
    """Nats and tokens of a source, piece by piece."""
    nats, tokens = 0.0, 0
    for document in np.flatnonzero(part.source == source).tolist():
        length = int(part.lengths[document])
        for start in range(0, length, context):
            ids = torch.from_numpy(part.read(document, start, min(context, length - start)).astype(np.int64))
            first = max(1, int(part.given[document]) - start) if answers_only else 1
            if first < len(ids):
                with torch.no_grad():
                    logits = model(ids[None]).logits[0]
                nats += F.cross_entropy(logits[first - 1 : -1], ids[first:], reduction="sum").item()
                tokens += len(ids) - first
    return nats, tokens


@pytest.fixture
def plain(objective):
    """The stock model with the same weights and its own attention."""
    model = objective.model.__class__(objective.model.config)
    model.load_state_dict(objective.model.state_dict())
    model.config._attn_implementation = "eager"
    return model


@pytest.mark.parametrize("micro", [1, 4, 100])
@pytest.mark.parametrize("answers_only", [False, True])
def test_the_loss_is_that_of_computing_it_directly(micro, answers_only, part, objective, plain, tiny):
    found = HeldOut(part, tiny.CONTEXT, answers_only=answers_only).measure(
        objective, tiny.ALONE, micro, everything=True
    )
    assert list(found) == ["c4", "alpaca"]
    for source, name in enumerate(found):
        nats, tokens = directly(plain, part, source, tiny.CONTEXT, answers_only)
        assert found[name]["tokens"] == tokens
        assert found[name]["loss"] == pytest.approx(nats / tokens, abs=1e-5)
        bits = found[name]["loss"] * (390 / 1600) / math.log(2)  # predicted tokens and bytes, as the index has them
        assert found[name].get("bpb") == (None if answers_only else pytest.approx(bits))


def test_only_the_first_rows_are_looked_at_on_the_way(part, objective, tiny, monkeypatch):
    measured = HeldOut(part, tiny.CONTEXT)
    whole = measured.measure(objective, tiny.ALONE, 2, everything=True)
    monkeypatch.setattr(held, "FEW", 2)
    few = measured.measure(objective, tiny.ALONE, 2, everything=False)
    assert few["c4"]["tokens"] < whole["c4"]["tokens"]
    assert few["c4"]["tokens"] <= 2 * tiny.CONTEXT


def test_of_chats_alone_nothing_else_is_measured(part, objective, tiny):
    found = HeldOut(part, tiny.CONTEXT, answers_only=True, chats_only=True).measure(
        objective, tiny.ALONE, 4, everything=True
    )
    assert list(found) == ["alpaca"]


def test_a_corpus_without_held_out_text_has_no_measure(tmp_path, objective, tiny):
    with ShardWriter(tmp_path, "train", tiny.VOCAB) as writer:
        writer.add([5, 6, 7])
    source = {"name": "c4", "held_documents": 0, "held_tokens": 0, "held_bytes": 0}
    index = {"tokenizer": "x", "vocab": tiny.VOCAB, "sources": [source], "train": writer.close(), "held": []}
    write_index(tmp_path, index)
    measured = HeldOut(Shards(tmp_path, "held"), tiny.CONTEXT)
    assert measured.measure(objective, tiny.ALONE, 4, everything=True) == {} == measured.samples()


def test_files_of_a_data_set_are_one_source(tmp_path, objective, tiny):
    made = {}
    for name in ("train", "held"):
        with ShardWriter(tmp_path, name, tiny.VOCAB) as writer:
            for source in (0, 1, 2):
                writer.add([5 + source, 6, 7, 8], source=source)
            made[name] = writer.close()
    sources = [{"name": name, "held_documents": 1, "held_tokens": 4, "held_bytes": size}
               for name, size in (("c4", 10), ("alpaca", 20), ("c4", 30))]  # fmt: skip
    write_index(tmp_path, {"tokenizer": "x", "vocab": tiny.VOCAB, "sources": sources, **made})
    measured = HeldOut(Shards(tmp_path, "held"), tiny.CONTEXT)
    found = measured.measure(objective, tiny.ALONE, 4, everything=True)
    assert {name: each["tokens"] for name, each in found.items()} == {"c4": 6, "alpaca": 3}
    assert found["c4"]["bpb"] == pytest.approx(found["c4"]["loss"] * 6 / 40 / math.log(2))
    assert {name: len(batch.ids_BT) for name, batch in measured.samples().items()} == {"c4": 1, "alpaca": 1}
