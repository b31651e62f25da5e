"""Calibration tokens, and held-out ones.

A document is either calibrated on, held out, or learned from when the model is healed; only where there are no others
is a document cut in two or three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgelm.checkpoint import Checkpoint, Source
from edgelm.compress.base import Tokens
from edgelm.compress.fallback import BUILT_IN_WARNING, built_in
from edgelm.compress.sequences import SHORTEST, Piece, cut_pieces, sources_of
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption
from edgelm.files import canonical_json, sha256_bytes

_HELD_OUT, _ENOUGH = 8, 8192  # one held-out token for so many calibration tokens; and how many are held out at the most
_PROBES = 4  # sequences that the result is run on in its own dtype
_NO_CHINESE = "calibration: no Chinese in the text, so that what Chinese alone needs counts for nothing"
_NOT_SEARCHED = "calibration: the text was not searched for the benchmarks' rows, which are not at hand"


@dataclass(frozen=True)
class Calibration:
    """Sequences to decide on, others to judge by, and what the card says about both.

    Attributes:
        documents: how many documents they were cut from; those that follow are for healing.
        calibrated: those of them that some of the batches are from; what is left of these may be learned from.
        probes: of what is held out a few sequences, of each data set if there are not too many.
        allowed: whether all text is C4 or Alpaca.
        warnings: for the card.
    """

    batches: list[Tokens]
    held_out: list[Tokens]
    sources: list[Source]
    record: dict[str, Any]
    documents: int
    calibrated: frozenset[int]
    probes: list[Tokens]
    allowed: bool
    warnings: list[str]


def draw(
    base: Checkpoint, texts: Sequence[TextSource], *, tokens: int = 16_384, sequence: int = 1024, seed: int = 0,
    counted: bool = False,
) -> Calibration:  # fmt: skip
    """Draw `tokens` tokens in sequences of at most `sequence`, and an eighth more, but at most 8,192, to hold out.

    Less text gives fewer tokens, split in the same proportion. What is held out is of other documents, if any is short
    enough. Texts that nothing is drawn from are sources only if they were `counted` in.

    Raises:
        BadOption: a number is out of range, or there is too little text.
        BadFile: the tokenizer cannot be loaded, or has more entries than the model.
    """
    if tokens < 2 * SHORTEST or sequence < SHORTEST:
        raise BadOption(f"{tokens} tokens in sequences of {sequence} are too few",
                        mend=f"sequences of at least {SHORTEST}, twice that in all")  # fmt: skip
    pieces: list[Piece] = []
    found, wanted = 0, tokens + min(max(tokens // _HELD_OUT, 1), _ENOUGH)
    for piece in cut_pieces(base, texts, sequence, seed):
        pieces.append(piece)
        found += len(piece.tokens)
        if found >= wanted and len(pieces) > 1:
            break
    if len(pieces) < 2:
        raise BadOption(f"the calibration text gives {found} tokens, too few to hold some out", mend="give more text")
    used, held_out = _split(pieces, min(max(found // (_HELD_OUT + 1), 1), _ENOUGH))
    return _calibration(texts, used, held_out, seed, counted=counted)


def _split(pieces: Sequence[Piece], least: int) -> tuple[list[Piece], list[Piece]]:
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


def _probes(texts: Sequence[TextSource], held: Sequence[Piece]) -> list[Tokens]:
    """The longest of each data set, and the longest of the rest, as far as so many are wanted."""
    by_length = sorted(held, key=lambda piece: -len(piece.tokens))
    first = {texts[piece.text].name: piece for piece in reversed(by_length)}
    rest = [piece for piece in by_length if all(piece is not one for one in first.values())]
    return [piece.tokens for piece in [*first.values(), *rest][:_PROBES]]


def _calibration(
    texts: Sequence[TextSource], used: Sequence[Piece], held: Sequence[Piece], seed: int, *, counted: bool
) -> Calibration:
    batches, held_out = [piece.tokens for piece in used], [piece.tokens for piece in held]
    sources, allowed = sources_of(texts, used, whole=counted)
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
    warnings = [
        (BUILT_IN_WARNING, fallback),
        (_NO_CHINESE, not any(piece.chinese for piece in used)),
        (_NOT_SEARCHED, not searched and not fallback),
    ]
    return Calibration(
        batches, held_out, sources, record, 1 + max(piece.document for piece in (*used, *held)),
        calibrated=frozenset(piece.document for piece in used), probes=_probes(texts, held), allowed=allowed,
        warnings=[warning for warning, holds in warnings if holds],
    )  # fmt: skip
