"""Sequences cut from documents, never padded, never across documents.

Documents are shuffled within their data set, and the next one is of the set that lacks most of its share of the tokens:
half is C4 and a quarter each of Alpaca's languages, as far as they are there. A document is met once, however often it
occurs.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from edgelm.checkpoint import Checkpoint, Source
from edgelm.compress.base import Tokens
from edgelm.compress.encoding import encoded
from edgelm.data.texts import Document, TextSource
from edgelm.errors import BadFile
from edgelm.stock import load_tokenizer

SHORTEST = 8  # tokens; a shorter piece says little and its first token is left out anyway
_SHARES = {"c4": 2}  # of the tokens, by data set; of any other set 1
_CHINESE = re.compile("[\u4e00-\u9fff]")


class Piece(NamedTuple):
    """A sequence, and the document that it is from: the number of its text, its own among all that were met."""

    text: int
    document: int
    chinese: bool
    tokens: Tokens


class _Met(NamedTuple):
    """A document in its turn, and the number of the text that it is from."""

    text: int
    document: Document


def cut_pieces(base: Checkpoint, texts: Sequence[TextSource], sequence: int, seed: int) -> Iterator[Piece]:
    """Every piece, in an order that the seed decides; a document's follow each other but for those of other sets.

    Raises:
        BadFile: the tokenizer cannot be loaded, or has more entries than the model.
    """
    tokenizer = load_tokenizer(base)
    queues = {}
    for name, documents in _sets(texts).items():
        order = random.Random(f"{seed}/{name}").sample(documents, len(documents))
        ids = encoded(base, tokenizer, [met.document for met in order])
        queues[name] = _cut(zip(order, ids, strict=True), min(sequence, base.shape.context))
    given: Counter[str] = Counter()  # tokens by data set
    numbers: dict[_Met, int] = {}
    while queues:
        name = min(queues, key=lambda name: given[name] / _SHARES.get(name, 1))
        met, piece = next(queues[name], (None, []))
        if met is None:
            del queues[name]
            continue
        _require_known_ids(base, piece)
        given[name] += len(piece)
        number = numbers.setdefault(met, len(numbers))
        yield Piece(met.text, number, bool(_CHINESE.search(met.document.text)), piece)


def _cut(documents: Iterable[tuple[_Met, list[int]]], sequence: int) -> Iterator[tuple[_Met, list[int]]]:
    """The pieces of documents that are long enough, each with its document."""
    for met, ids in documents:
        for start in range(0, len(ids), sequence):
            piece = ids[start : start + sequence]
            if len(piece) >= SHORTEST:
                yield met, piece


def _sets(texts: Sequence[TextSource]) -> dict[str, list[_Met]]:
    """The documents of each data set, whichever of its files they are from; what occurs again is left out."""
    sets: dict[str, list[_Met]] = {text.name: [] for text in texts}
    met: set[Document] = set()
    for number, text in enumerate(texts):
        for document in text.documents:
            if document not in met:
                met.add(document)
                sets[text.name].append(_Met(number, document))
    return sets


def _require_known_ids(base: Checkpoint, ids: Sequence[int]) -> None:
    if max(ids) >= base.shape.vocab:
        raise BadFile(
            f"the tokenizer of {base.path} gives the id {max(ids)}",
            why=f"the model has {base.shape.vocab} rows",
            mend="copy the tokenizer of this model",
        )


def sources_of(
    texts: Sequence[TextSource], pieces: Iterable[Piece], *, whole: bool = False
) -> tuple[list[Source], bool]:
    """What a card says of the texts that pieces are from, with their tokens, and whether all are C4 or Alpaca.

    `whole` takes in those that no piece is from.
    """
    seen: Counter[int] = Counter()
    for piece in pieces:
        seen[piece.text] += len(piece.tokens)
    sources = [
        Source.model_validate({"name": text.name, "sha256": text.sha256, "tokens": seen[number],
                               "licence": text.licence, "known": text.known})
        for number, text in enumerate(texts)
        if whole or seen[number]
    ]  # fmt: skip
    return sources, all(text.allowed for number, text in enumerate(texts) if whole or seen[number])
