"""What a trigram makes of a corpus: the floor that a trained model has to be below, by the same rules.

    python benchmarks/trigram.py OUT/work/corpus [--tokens N] [--context 2048] [--check]

A modified Kneser-Ney trigram (interpolated; three discounts an order, from the counts of counts: Chen and Goodman 1999)
over the token ids of the train part, measured on the held part source by source. As in held-out evaluation a document
stands alone and its first token is given; `--context` cuts documents where a model with that context would have them
cut. Bits a byte = nats a token · tokens / (bytes · ln 2), with all tokens and bytes of the source's held part.
`--check` holds the model against a plain one made of dictionaries, and sums probabilities over the whole vocabulary.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgelm.train.rows.shards import Shards

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


def triples(tokens: Ids, lengths: Ids, vocab: int) -> Ids:
    """Every token but a document's first, behind the two before it: (a·V + b)·V + c; before a document stands a = V."""
    position = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = np.flatnonzero(position >= 1)
    before = np.where(position[at] >= 2, tokens[at - 2], vocab)
    return (before * vocab + tokens[at - 1]) * vocab + tokens[at]


@dataclass(frozen=True)
class Order:
    """One order of the model: what is taken from each count, what is left for the order below.

    Attributes:
        keys: context · V + token of all that was seen, ascending.
        kept: the discounted count of each, divided by its context's total.
        contexts: ascending.
        left: of each context, the share that the order below distributes.
    """

    vocab: int
    keys: Ids
    kept: Floats
    contexts: Ids
    left: Floats

    @classmethod
    def of(cls, keys: Ids, counts: Ids, vocab: int) -> Order:
        """From ascending keys and how often each counts."""
        taken = discounts(counts)[np.minimum(counts, 3)]
        contexts, starts = np.unique(keys // vocab, return_index=True)
        totals = np.add.reduceat(counts, starts)
        kept = (counts - taken) / np.repeat(totals, np.diff(np.append(starts, len(keys))))
        return cls(vocab, keys, kept, contexts, np.add.reduceat(taken, starts) / totals)

    def mixed(self, keys: Ids, below: Floats) -> Floats:
        """The probability of each key's token after its context, given the order below's."""
        return _looked_up(self.keys, self.kept, keys, 0.0) + below * _looked_up(
            self.contexts, self.left, keys // self.vocab, 1.0
        )


def discounts(counts: Ids) -> Floats:
    """What is taken from counts of 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == k)) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3):  # too little text for the estimate
        return np.array([0.0, 0.5, 0.5, 0.5])
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return np.array([0.0, *(min(max(each, 0.0), k) for k, each in enumerate(found, 1))])


def _looked_up(keys: Ids, values: Floats, asked: Ids, otherwise: float) -> Floats:
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], otherwise)


class Trigram:
    """The model. Lower orders count in how many contexts a token was seen, not how often."""

    def __init__(self, seen: Ids, vocab: int) -> None:
        self.vocab = vocab
        seen = np.sort(seen)
        first = np.flatnonzero(np.diff(seen, prepend=-1))
        three, counts = seen[first], np.diff(np.append(first, len(seen)))
        two, two_counts = np.unique(three % vocab**2, return_counts=True)
        one, one_counts = np.unique(two % vocab, return_counts=True)
        self.orders = [Order.of(one, one_counts, vocab), Order.of(two, two_counts, vocab),
                       Order.of(three, counts, vocab)]  # fmt: skip

    def probability(self, keys: Ids) -> Floats:
        """The probability of the last of each triple."""
        found = np.full(len(keys), 1 / self.vocab)
        for size, order in enumerate(self.orders, 1):
            found = order.mixed(keys % self.vocab**size if size < 3 else keys, found)
        return found


# The corpus


def read(shards: Shards, documents: Ids, most: int | None = None) -> tuple[Ids, Ids]:
    """Tokens of some documents in a row, and each one's length; the last is cut where `most` tokens are reached."""
    lengths = shards.lengths[documents]
    if most is not None:
        lengths = np.diff(np.minimum(np.cumsum(lengths), most), prepend=0)
        documents, lengths = documents[lengths > 0], lengths[lengths > 0]
    pieces = [shards.read(int(each), 0, int(length)) for each, length in zip(documents, lengths, strict=True)]
    return np.concatenate([np.empty(0, np.int64), *pieces]).astype(np.int64), lengths


def cut(lengths: Ids, context: int | None) -> Ids:
    """The lengths of documents, those longer than a context cut into pieces of it and a rest."""
    if not context:
        return lengths
    return np.concatenate([[context] * (n // context) + [n % context] * (n % context > 0) for n in lengths.tolist()])


def measure(model: Trigram, held: Shards, context: int | None) -> list[tuple[str, int, int, float, float, float]]:
    """For each source its documents, tokens with loss, nats a token, perplexity and bits a byte."""
    numbers = defaultdict(list)
    for number, source in enumerate(held.sources):
        numbers[source["name"]].append(number)
    rows = []
    for name, own in numbers.items():
        documents = np.flatnonzero(np.isin(held.source, own))
        if not len(documents):
            continue
        tokens, lengths = read(held, documents)
        keys = triples(tokens, cut(lengths, context), model.vocab)
        nats = -float(np.log(model.probability(keys)).mean())
        of = sum(held.sources[number]["held_bytes"] for number in own)
        rows.append((name, len(documents), len(keys), nats, math.exp(nats), nats * len(tokens) / of / math.log(2)))
    return rows


# The check


def plain(documents: list[list[int]], vocab: int) -> dict[tuple[int, int], list[float]]:
    """The same model by the textbook, for every context with any two tokens: all probabilities."""
    three = Counter(gram for ids in documents for gram in zip([vocab, *ids], ids, ids[1:], strict=False))
    two = Counter(gram[1:] for gram in three)
    one = Counter(gram[1:] for gram in two)

    def distribution(counts: dict[int, int], of: Counter, below: list[float]) -> list[float]:
        d = discounts(np.array(list(of.values())))
        total = sum(counts.values())
        left = sum(d[min(count, 3)] for count in counts.values()) / total if total else 1.0
        return [(counts.get(c, 0) - d[min(counts.get(c, 0), 3)]) / (total or 1) + left * below[c] for c in range(vocab)]

    lowest = distribution({c: count for (c,), count in one.items()}, one, [1 / vocab] * vocab)
    made = {}
    for b in range(vocab):
        middle = distribution({c: count for (x, c), count in two.items() if x == b}, two, lowest)
        for a in range(vocab + 1):
            after = {c: count for (x, y, c), count in three.items() if (x, y) == (a, b)}
            made[a, b] = distribution(after, three, middle)
    return made


def check(model: Trigram | None) -> None:
    """Print how far the model is from the plain one on a small text, and its sums over the vocabulary from 1."""
    draw, vocab = np.random.default_rng(0), 12
    documents = [np.minimum(draw.geometric(0.25, draw.integers(2, 30)) - 1, vocab - 1).tolist() for _ in range(20)]
    lengths = np.array([len(each) for each in documents])
    small = Trigram(triples(np.concatenate(documents), lengths, vocab), vocab)
    expected = plain(documents, vocab)
    keys = np.array([[(a * vocab + b) * vocab + c for c in range(vocab)] for a, b in expected])
    found = small.probability(keys.ravel()).reshape(keys.shape)
    print(f"against the plain model, {len(expected)} contexts: {np.abs(found - list(expected.values())).max():.1e}")
    for each in (small, model) if model else (small,):
        seen = draw.choice(each.orders[2].contexts, 50)
        contexts = np.concatenate([seen, draw.integers(0, each.vocab**2, 50)])
        sums = [each.probability(context * each.vocab + np.arange(each.vocab)).sum() for context in contexts]
        print(f"sums over {each.vocab:,} tokens, 100 contexts: 1 ± {np.abs(np.array(sums) - 1).max():.1e}")


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--tokens", type=int, help="train on so many alone, of documents drawn from all")
    parser.add_argument("--context", type=int, help="cut held-out documents into pieces of so many tokens")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.corpus:
        if not options.check:
            parser.error("give the folder of a corpus, or --check")
        check(None)
        return
    start = time.perf_counter()
    train = Shards(options.corpus)
    documents = np.arange(train.documents)
    drawn = np.random.default_rng(0).permutation(documents) if options.tokens else documents
    tokens, lengths = read(train, drawn, options.tokens)
    model = Trigram(triples(tokens, lengths, train.vocab), train.vocab)
    one, two, three = (len(order.keys) for order in model.orders)
    print(f"{len(tokens):,} tokens of {len(lengths):,} documents, vocabulary {train.vocab:,}: {three:,} trigrams, "
          f"{two:,} bigrams, {one:,} tokens seen; {time.perf_counter() - start:.1f} s")  # fmt: skip
    if options.check:
        check(model)
    print(f"{'source':16} {'documents':>9} {'tokens':>10} {'nats':>8} {'perplexity':>11} {'bits a byte':>11}")
    rows = measure(model, Shards(options.corpus, "held"), options.context)
    for name, held, count, nats, perplexity, bits in rows:
        print(f"{name:16} {held:9,} {count:10,} {nats:8.4f} {perplexity:11.2f} {bits:11.4f}")
    count = sum(row[2] for row in rows)
    nats = sum(row[2] * row[3] for row in rows) / count
    print(f"{'all':16} {sum(row[1] for row in rows):9,} {count:10,} {nats:8.4f} {math.exp(nats):11.2f}")


if __name__ == "__main__":
    main()
