"""A hundred small updates on real text teach more than the frequencies of tokens."""

import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from edgelm.plugins import parse
from edgelm.train.rows.shards import Shards
from edgelm.train.run import train

pytestmark = pytest.mark.slow

STEPS = ("tokenizer:vocab=1024", "corpus:files=c4/llamafactory/c4_demo.jsonl,held_out=0.05")
GAIN = {"muon": 0.8, "adamw": 0.4}  # nats a token


def _unigram_entropy(train_part: Shards, held: Shards) -> float:
    """Nats a token of held-out text, all but the first of each document, by the frequencies of training."""
    counts: Counter[int] = Counter()
    for document in range(train_part.documents):
        counts.update(train_part.read(document, 0, int(train_part.lengths[document])).tolist())
    total = sum(counts.values()) + train_part.vocab
    asked = [token for document in range(held.documents)
             for token in held.read(document, 1, int(held.lengths[document]) - 1).tolist()]  # fmt: skip
    return -math.fsum(math.log((counts[token] + 1) / total) for token in asked) / len(asked)


@pytest.mark.parametrize("optimizer", [*GAIN])
def test_a_hundred_updates_beat_the_frequencies(optimizer: str, shared: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    pretrain = f"pretrain:shape=tiny,steps=100,batch=2048,adamw=0.01,theta=10000,optimizer={optimizer}"
    made = train([parse("train", spec) for spec in (*STEPS, pretrain)], shared / "data", tmp_path / "model")
    assert made is not None
    learned = made.card.steps[2]["held"]["c4"]["loss"]
    corpus = tmp_path / "model/work/corpus"
    assert learned < _unigram_entropy(Shards(corpus), Shards(corpus, "held")) - GAIN[optimizer]
