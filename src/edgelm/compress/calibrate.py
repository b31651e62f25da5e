"""Calibration tokens: sequences cut from documents, never padded, never across documents, and held-out ones.

Documents are shuffled within their data set, and the next one is of the set that lacks most of its share of the tokens:
half is C4 and a quarter each of Alpaca's languages, as far as they are there. A document is met once, however often it
occurs, and is either calibrated on, held out, or learned from when the model is healed.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgelm.checkpoint import Checkpoint, Source
from edgelm.compress.base import Tokens
from edgelm.compress.encoding import encoded
from edgelm.compress.fallback import BUILT_IN_WARNING, built_in
from edgelm.data.texts import Document, TextSource
from edgelm.errors import BadFile, BadOption
from edgelm.files import canonical_json, sha256_bytes
from edgelm.stock import load_tokenizer

_SHORTEST = 8  # tokens; a shorter piece says little and its first token is left out anyway
_HELD_OUT, _ENOUGH = 8, 8192  # one held-out token for so many calibration tokens; and how many are held out at the most
_SHARES = {"c4": 2}  # of the tokens, by data set; of any other set 1
_NO_CHINESE = "calibration: no Chinese in the text, so that what Chinese alone needs counts for nothing"
_NOT_SEARCHED = "calibration: the text was not searched for the benchmarks' rows, which are not at hand"
_CHINESE = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Calibration:
    """Sequences to decide on, others to judge by, and what the card says about both.

    Attributes:
        documents: how many documents they were cut from; those that follow are for healing.
        allowed: whether all text is C4 or Alpaca.
        warnings: for the card.
    """

    batches: list[Tokens]
    held_out: list[Tokens]
    sources: list[Source]
    record: dict[str, Any]
    documents: int
    allowed: bool
    warnings: list[str]


class _Piece(NamedTuple):
    """A sequence, and the document that it is from: the number of its text, its own among all that were met."""

    text: int
    document: int
    chinese: bool
    tokens: Tokens


class _Met(NamedTuple):
    """A document in its turn, and the number of the text that it is from."""

    text: int
    document: Document


def draw(
    base: Checkpoint, texts: Sequence[TextSource], *, tokens: int = 16_384, sequence: int = 1024, seed: int = 0
) -> Calibration:
    """Draw `tokens` tokens in sequences of at most `sequence`, and an eighth more, but at most 8,192, to hold out.

    Less text gives fewer tokens, split in the same proportion. What is held out is of other documents, if any is short
    enough.

    Raises:
        BadOption: a number is out of range, or there is too little text.
        BadFile: the tokenizer cannot be loaded, or has more entries than the model.
    """
    if tokens < 2 * _SHORTEST or sequence < _SHORTEST:
        raise BadOption(f"{tokens} tokens in sequences of {sequence} are too few",
                        mend=f"sequences of at least {_SHORTEST}, twice that in all")  # fmt: skip
    pieces: list[_Piece] = []
    found, wanted = 0, tokens + min(max(tokens // _HELD_OUT, 1), _ENOUGH)
    for piece in _pieces(base, texts, sequence, seed):
        pieces.append(piece)
        found += len(piece.tokens)
        if found >= wanted and len(pieces) > 1:
            break
    if len(pieces) < 2:
        raise BadOption(f"the calibration text gives {found} tokens, too few to hold some out", mend="give more text")
    _require_known_ids(base, pieces)
    used, held_out = _split(pieces, min(max(found // (_HELD_OUT + 1), 1), _ENOUGH))
    return _calibration(texts, used, held_out, seed)


def further(
    base: Checkpoint, texts: Sequence[TextSource], calibration: Calibration, sequence: int, seed: int, tokens: int
) -> list[Tokens]:
    """The sequences of the documents after those of a calibration: at least so many tokens, or all that there are.

    Args:
        base: whose tokenizer is used.
        texts: those that the calibration was drawn from.
        calibration: what was drawn.
        sequence: as it was drawn.
        seed: as it was drawn.
        tokens: how many are wanted.
    """
    found: list[Tokens] = []
    count = 0
    for piece in _pieces(base, texts, sequence, seed):
        if count >= tokens:
            break
        if piece.document >= calibration.documents:
            found.append(piece.tokens)
            count += len(piece.tokens)
    return found


def _split(pieces: Sequence[_Piece], least: int) -> tuple[list[_Piece], list[_Piece]]:
    """What to calibrate on and what to hold out: of the last documents those that make up `least` tokens.

    Documents stay whole, so that one too long to be held out is calibrated on. If all are, one is cut in two.
    """
    sizes: Counter[int] = Counter()
    for piece in pieces:
        sizes[piece.document] += len(piece.tokens)
    chosen, held = set(), 0
    for document in reversed(list(sizes)[1:]):
        if held < least and held + sizes[document] <= 2 * least:
            chosen.add(document)
            held += sizes[document]
    if held >= least:
        return [p for p in pieces if p.document not in chosen], [p for p in pieces if p.document in chosen]
    cut, held = len(pieces), 0
    while cut > 1 and held < least:
        cut -= 1
        held += len(pieces[cut].tokens)
    return list(pieces[:cut]), list(pieces[cut:])


def _pieces(base: Checkpoint, texts: Sequence[TextSource], sequence: int, seed: int) -> Iterator[_Piece]:
    """Every piece, in an order that the seed decides; a document's follow each other but for those of other sets."""
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
        given[name] += len(piece)
        number = numbers.setdefault(met, len(numbers))
        yield _Piece(met.text, number, bool(_CHINESE.search(met.document.text)), piece)


def _cut(documents: Iterable[tuple[_Met, list[int]]], sequence: int) -> Iterator[tuple[_Met, list[int]]]:
    """The pieces of documents that are long enough, each with its document."""
    for met, ids in documents:
        for start in range(0, len(ids), sequence):
            piece = ids[start : start + sequence]
            if len(piece) >= _SHORTEST:
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


def _require_known_ids(base: Checkpoint, pieces: Sequence[_Piece]) -> None:
    largest = max(max(piece.tokens) for piece in pieces)
    if largest >= base.shape.vocab:
        raise BadFile(
            f"the tokenizer of {base.path} gives the id {largest}",
            why=f"the model has {base.shape.vocab} rows",
            mend="copy the tokenizer of this model",
        )


def _calibration(texts: Sequence[TextSource], used: Sequence[_Piece], held: Sequence[_Piece], seed: int) -> Calibration:
    batches, held_out = [piece.tokens for piece in used], [piece.tokens for piece in held]
    seen: Counter[int] = Counter()
    for piece in used:
        seen[piece.text] += len(piece.tokens)
    fallback, searched = built_in() in texts, all(text.overlap for text in texts)
    record = {
        "tokens": sum(map(len, batches)),
        "sequences": len(batches),
        "held_out_tokens": sum(map(len, held_out)),
        "ids_sha256": sha256_bytes(canonical_json([batches, held_out])),
        "seed": seed,
        "fallback": fallback,
        "overlap": texts[0].overlap if searched else None,
    }
    sources = [
        Source.model_validate({"name": text.name, "sha256": text.sha256, "tokens": seen[number],
                               "licence": text.licence, "known": text.known})
        for number, text in enumerate(texts)
        if seen[number]
    ]  # fmt: skip
    warnings = [
        (BUILT_IN_WARNING, fallback),
        (_NO_CHINESE, not any(piece.chinese for piece in used)),
        (_NOT_SEARCHED, not searched and not fallback),
    ]
    return Calibration(
        batches, held_out, sources, record, 1 + max(piece.document for piece in (*used, *held)),
        allowed=all(text.allowed for number, text in enumerate(texts) if seen[number]),
        warnings=[warning for warning, holds in warnings if holds],
    )  # fmt: skip
