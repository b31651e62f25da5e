"""How many answers to the same questions are the same, in text and in number of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

EXAMPLES = 3  # answers that differ, shown as evidence
AROUND = 40  # characters shown from where two answers part


class Said(Protocol):
    """An answer, kept or made anew."""

    @property
    def text(self) -> str:
        """What it says."""
        ...

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        ...


@dataclass(frozen=True)
class Agreement:
    """So many of so many answers are the same; the first that are not, with what each says from where they part."""

    same: int
    of: int
    apart: tuple[dict[str, Any], ...] = ()

    @property
    def share(self) -> Fraction:
        """The share of answers that are the same; of none, all."""
        return Fraction(self.same, self.of) if self.of else Fraction(1)

    def __str__(self) -> str:
        return f"{self.same:,} of {self.of:,}"

    def as_json(self) -> dict[str, Any]:
        """The agreement as a JSON object."""
        return {"same": self.same, "of": self.of, "apart": list(self.apart)}


def agreement(one: Mapping[str, Said], other: Mapping[str, Said], names: Mapping[str, str]) -> Agreement:
    """How two sets of answers agree on the questions in `names` (sample by key); an absent one agrees with none."""
    apart = [key for key in names if not _same(one.get(key), other.get(key))]
    shown = tuple(_parting(names[key], one.get(key), other.get(key)) for key in apart[:EXAMPLES])
    return Agreement(len(names) - len(apart), len(names), shown)


def _same(one: Said | None, other: Said | None) -> bool:
    return one is not None and other is not None and (one.text, one.tokens) == (other.text, other.tokens)


def _parting(name: str, one: Said | None, other: Said | None) -> dict[str, Any]:
    """Where two answers part, and how each goes on from there."""
    texts = [each.text if each else "" for each in (one, other)]
    start = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    return {"sample": name, "at": start, "texts": [text[start : start + AROUND] for text in texts],
            "tokens": [each.tokens if each else None for each in (one, other)]}  # fmt: skip
