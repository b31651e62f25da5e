"""What drills are made of: the sentences and the questions of training documents, English and Chinese apart."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgelm.data.texts import Document

PLAIN, CHATS = 20_000, 200_000  # documents that are read at most: far more than drills are ever made of
WORDS = range(7, 21)  # words of a sentence
_SENTENCE = re.compile(r"[A-Z][a-z]*,?(?: [A-Za-z'-]+,?)+\.")  # words, commas and a full stop: nothing to misread
_CHINESE = re.compile(r"[^。！？\s]{12,80}[。！？]")


@dataclass
class Text:
    """Sentences in the order of the documents, and the documents that answer a question."""

    sentences: list[str] = field(default_factory=list)
    chinese: list[str] = field(default_factory=list)  # of answers and plain text, without upper-case characters
    chats: list[Document] = field(default_factory=list)


def glean(documents: Iterable[Document]) -> Text:
    """What the first documents of each kind hold; the others are passed over."""
    text, plain = Text(), 0
    for document in documents:
        plain += document.question is None
        if document.question is None and plain > PLAIN:
            continue
        if document.question is not None:
            if len(text.chats) == CHATS:
                continue
            text.chats.append(document)
        text.sentences += english(document.text)
        text.chinese += [each for each in _CHINESE.findall(document.text) if not any(map(str.isupper, each))]
    return text


def english(text: str) -> list[str]:
    """The plain English sentences of a text, of 7 to 20 words and without digits, quotes or a stated answer."""
    pieces = re.split(r"(?<=[.!?])\s+", text)
    return [piece for piece in pieces
            if _SENTENCE.fullmatch(piece) and piece.count(" ") + 1 in WORDS and "answer" not in piece]  # fmt: skip


def words(sentence: str) -> list[str]:
    """The words of a plain sentence, without its commas and its full stop."""
    return re.sub(r"[,.]", "", sentence).split()


def shuffled(items: Iterable[str], draw: random.Random) -> list[str]:
    """Every different item once, in a drawn order."""
    distinct = list(dict.fromkeys(items))
    return draw.sample(distinct, len(distinct))


class Places:
    """Where the right choice stands: each of so many places once in every round, in a drawn order."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._left: dict[int, list[int]] = {}

    def __call__(self, choices: int) -> int:
        """The next place among so many choices."""
        if not self._left.get(choices):
            self._left[choices] = self._draw.sample(range(choices), choices)
        return self._left[choices].pop()


def offered(right: str, others: list[str], place: int) -> list[str]:
    """The choices with the right one at its place."""
    return [*others[:place], right, *others[place:]]
