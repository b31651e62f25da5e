"""What a tokenizer makes of text: bytes a token, hanzi and words that are one token, and whether text comes back."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import tokenizers

HANZI = 3500  # of the most frequent ones: about what a newspaper needs
# The same for every tokenizer, so that the figures can be compared.
SAMPLES = {
    "english": (
        "The kettle had just begun to sing when the neighbours came in from the garden, carrying apples, a ladder and "
        "plenty of news. Nobody had expected rain before the weekend, so the washing still hung outside. We moved the "
        "chairs closer to the fire, and my sister explained how she had repaired the old clock with a spoon."
    ),
    "chinese": (
        "早上下过一场小雨，院子里的石板路还是湿的。奶奶把刚蒸好的馒头端上桌，笑着说今天要带我们去河边看新修的桥。"
        "弟弟一边吃一边问，那座桥有多长，能不能走汽车。爷爷放下报纸，告诉他等到了那里自己数一数就知道了。"
    ),
    "digits": "128 + 36 = 164\n4608 / 12 = 384\n3.1416 * 2 = 6.2832\n7051 - 2964 = 4087\n",
    "code": (
        "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n"
        "    return total / len(values) if values else None\n\n\nprint(mean([1, 2, 3]))\n"
    ),
}
_WORD = re.compile("[Ġ▁][A-Za-z]{2,}")  # a token that is a word with the blank before it


def report(core: tokenizers.Tokenizer, hanzi: Counter[str]) -> dict[str, Any]:
    """For the card: bytes a token on sample texts, words, the share of frequent hanzi that are one token, round trip.

    Args:
        core: the tokenizer.
        hanzi: how often each was seen; the most frequent of them are looked at.
    """
    frequent = [character for character, _ in sorted(hanzi.items(), key=lambda seen: (-seen[1], seen[0]))[:HANZI]]
    single = sum(len(_ids(core, character)) == 1 for character in frequent)
    lengths = {name: len(text.encode()) / len(_ids(core, text)) for name, text in SAMPLES.items()}
    return {
        "bytes_per_token": {name: round(length, 3) for name, length in lengths.items()},
        "words": sum(_WORD.fullmatch(token) is not None for token in core.get_vocab(with_added_tokens=False)),
        "hanzi": {"looked_at": len(frequent), "one_token": round(single / len(frequent), 4) if frequent else None},
        "round_trip": all(core.decode(_ids(core, text), skip_special_tokens=False) == text for text in _trials()),
    }


def _trials() -> list[str]:
    """Texts that a tokenizer may well change: all kinds of characters, in no order that makes sense."""
    draw = random.Random(0)
    kinds = [*map(chr, range(256)), *"\u200d\u3000\ufeff，。《》…—‘’“”", *"👩‍🚀🍌🇨🇭", *map(chr, range(0x4E00, 0x4E80))]
    return [*SAMPLES.values(), "  a \n\n\t b  ", *("".join(draw.choices(kinds, k=200)) for _ in range(20))]


def _ids(core: tokenizers.Tokenizer, text: str) -> list[int]:
    return core.encode(text, add_special_tokens=False).ids
