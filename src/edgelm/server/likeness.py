"""Which evaluations have nearly the same answers, and sketches by which most pairs are told apart without reading them.

Answers are short digests, one behind the other. A sketch deals them into parts by how they begin, and has a byte for
each part: the sum of how they end. Of two that are alike, 1 % of the larger differs at most, so 1/99 of either, on each
side; a digest that the other lacks changes one part; and there are more than twice as many parts as there can be such
digests. So at least half of the parts are equal, which hardly ever happens to others: a part has some twenty answers.
"""

from __future__ import annotations

from collections import Counter

SHORT = 8  # bytes of a digest
_LEAST = 99  # percent of equal answers of those that are alike


def sketch(answers: bytes, parts: int | None = None) -> bytes:
    """The sketch of answers, in as many parts as another's has, or as their own number asks for."""
    if parts is None:
        most = 2 * (len(answers) // SHORT // _LEAST)  # digests that only one has of two that are alike
        parts = 1 << (2 * most).bit_length()
    sums = [0] * parts
    for at in range(0, len(answers), SHORT):
        sums[int.from_bytes(answers[at : at + SHORT // 2]) % parts] += answers[at + SHORT - 1]
    return bytes(each % 256 for each in sums)


def may_be_alike(one: bytes, other: bytes) -> bool:
    """Whether answers of these sketches, of as many parts, may be alike; where they are, it is so."""
    differences = int.from_bytes(one) ^ int.from_bytes(other)
    return 2 * differences.to_bytes(len(one)).count(0) >= len(one)


def alike(one: bytes, other: bytes) -> str:
    """How many of the answers are equal, such as `99 of 100`; empty if they are not alike."""
    equal, of = (_counted(one) & _counted(other)).total(), max(len(one), len(other)) // SHORT
    return f"{equal} of {of}" if of and 100 * equal >= _LEAST * of else ""


def _counted(answers: bytes) -> Counter[bytes]:
    return Counter(answers[at : at + SHORT] for at in range(0, len(answers), SHORT))
