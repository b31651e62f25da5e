"""Whether questions of a hold-out stand in public texts: by runs of words that both have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

RUN = 13  # words, or Han characters, in a row; what shorter texts have in common is often chance
_TOKEN = re.compile(r"[㐀-鿿]|[^\W㐀-鿿]+")
Words = tuple[str, ...]


def words(text: str) -> Words:
    """A text's words in one case, every Han character by itself, without punctuation."""
    return tuple(_TOKEN.findall(text.casefold()))


def runs(text: str) -> set[Words]:
    """Every run of `RUN` words; of a shorter text the whole."""
    found = words(text)
    if len(found) <= RUN:
        return {found} if found else set()
    return {found[start : start + RUN] for start in range(len(found) - RUN + 1)}


class Questions:
    """The runs of a hold-out's questions, without those that all of them share, which come from their template."""

    def __init__(self, questions: Sequence[str]) -> None:
        found = [runs(question) for question in questions]
        shared = set.intersection(*found) if len(found) > 1 else set()
        self._places: dict[Words, set[int]] = defaultdict(set)
        for place, own in enumerate(found):
            for run in own - shared:
                self._places[run].add(place)

    def met_in(self, texts: Iterable[str]) -> set[int]:
        """The places of the questions that share a run with one of the texts."""
        return {place for text in texts for run in runs(text) for place in self._places.get(run, ())}
