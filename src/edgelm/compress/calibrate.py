"""Calibration tokens: sequences cut from documents, never padded, never across documents, and held-out ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from transformers import PreTrainedTokenizerBase

from edgelm.checkpoint import Checkpoint, Source
from edgelm.compress.base import Tokens
from edgelm.compress.fallback import built_in
from edgelm.data.texts import Document, TextSource
from edgelm.errors import BadFile, BadOption
from edgelm.files import canonical_json, sha256_bytes
from edgelm.stock import load_tokenizer

_SHORTEST = 8  # tokens; a shorter piece says little and its first token is left out anyway
_HELD_OUT = 8  # one held-out token for so many calibration tokens
_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{}\n\n### Response:\n{}"
)
_PHI = "Instruct: {}\nOutput: {}"


@dataclass(frozen=True)
class Calibration:
    """Sequences to decide on, others to judge by, and what the card says about both."""

    batches: list[Tokens]
    held_out: list[Tokens]
    sources: list[Source]
    record: dict[str, Any]


def draw(
    base: Checkpoint, texts: Sequence[TextSource], *, tokens: int = 16_384, sequence: int = 1024, seed: int = 0
) -> Calibration:
    """Draw `tokens` tokens in sequences of at most `sequence`, and an eighth more to hold out.

    Documents come in random order, the next from the text with the fewest tokens so far. Less text gives fewer
    tokens, split in the same proportion.

    Raises:
        BadOption: a number is out of range, or there is too little text.
        BadFile: the tokenizer cannot be loaded, or has more entries than the model.
    """
    if tokens < 2 * _SHORTEST or sequence < _SHORTEST:
        raise BadOption(f"{tokens} tokens in sequences of {sequence} are too few",
                        mend=f"sequences of at least {_SHORTEST}, twice that in all")  # fmt: skip
    sequence = min(sequence, base.shape.context)
    pieces: list[tuple[int, Tokens]] = []
    found, wanted = 0, tokens + max(tokens // _HELD_OUT, 1)
    for number, piece in _pieces(base, texts, sequence, seed):
        pieces.append((number, piece))
        found += len(piece)
        if found >= wanted and len(pieces) > 1:
            break
    if len(pieces) < 2:
        raise BadOption(f"the calibration text gives {found} tokens, too few to hold some out", mend="give more text")
    cut = _held_out_from([piece for _, piece in pieces], found // (_HELD_OUT + 1))
    _require_known_ids(base, pieces)
    return _calibration(texts, pieces, cut, seed)


def further(
    base: Checkpoint, texts: Sequence[TextSource], calibration: Calibration, sequence: int, seed: int, tokens: int
) -> list[Tokens]:
    """The sequences that come after those of a calibration: at least so many tokens, or all that the text has.

    Args:
        base: whose tokenizer is used.
        texts: those that the calibration was drawn from.
        calibration: what was drawn.
        sequence: as it was drawn.
        seed: as it was drawn.
        tokens: how many are wanted.
    """
    drawn = len(calibration.batches) + len(calibration.held_out)
    found: list[Tokens] = []
    count = 0
    for _, piece in islice(_pieces(base, texts, min(sequence, base.shape.context), seed), drawn, None):
        if count >= tokens:
            break
        found.append(piece)
        count += len(piece)
    return found


def _held_out_from(pieces: Sequence[Tokens], least: int) -> int:
    """Where the held-out pieces begin: the last ones, together of at least `least` tokens."""
    cut, held = len(pieces), 0
    while cut > 1 and held < max(least, 1):
        cut -= 1
        held += len(pieces[cut])
    return cut


def _pieces(base: Checkpoint, texts: Sequence[TextSource], sequence: int, seed: int) -> Iterator[tuple[int, Tokens]]:
    """Every piece with the number of its text."""
    tokenizer = load_tokenizer(base)
    queues = {number: _shuffled(text.documents, f"{seed}/{number}") for number, text in enumerate(texts)}
    given: Counter[int] = Counter()  # tokens by text
    while queues:
        number = min(queues, key=lambda number: (given[number], number))
        document = next(queues[number], None)
        if document is None:
            del queues[number]
            continue
        ids = _encode(tokenizer, document, base)
        given[number] += len(ids)
        for start in range(0, len(ids), sequence):
            piece = ids[start : start + sequence]
            if len(piece) >= _SHORTEST:
                yield number, piece


def _shuffled(documents: Sequence[Document], seed: str) -> Iterator[Document]:
    return iter(random.Random(seed).sample(documents, len(documents)))


def _encode(tokenizer: PreTrainedTokenizerBase, document: Document, base: Checkpoint) -> list[int]:
    """Ids of plain text with the tokenizer's own start, or of a conversation in the model's own form."""
    if document.question is None:
        return tokenizer(document.text, verbose=False).input_ids
    if base.prompting == "chat":
        messages = [{"role": "user", "content": document.question}, {"role": "assistant", "content": document.text}]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        return tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    form = _PHI if base.shape.family == "phi" else _ALPACA
    return tokenizer(form.format(document.question, document.text), verbose=False).input_ids


def _require_known_ids(base: Checkpoint, pieces: Sequence[tuple[int, Tokens]]) -> None:
    largest = max(max(piece) for _, piece in pieces)
    if largest >= base.shape.vocab:
        raise BadFile(
            f"the tokenizer of {base.path} gives the id {largest}",
            why=f"the model has {base.shape.vocab} rows",
            mend="copy the tokenizer of this model",
        )


def _calibration(texts: Sequence[TextSource], pieces: Sequence[tuple[int, Tokens]], cut: int, seed: int) -> Calibration:
    batches, held_out = [piece for _, piece in pieces[:cut]], [piece for _, piece in pieces[cut:]]
    seen: Counter[int] = Counter()
    for number, piece in pieces[:cut]:
        seen[number] += len(piece)
    record = {
        "tokens": sum(map(len, batches)),
        "sequences": len(batches),
        "held_out_tokens": sum(map(len, held_out)),
        "ids_sha256": sha256_bytes(canonical_json([batches, held_out])),
        "seed": seed,
        "fallback": built_in() in texts,
    }
    sources = [
        Source(name=text.name, sha256=text.sha256, tokens=seen[number], licence=text.licence)
        for number, text in enumerate(texts)
        if seen[number]
    ]
    return Calibration(batches, held_out, sources, record)
