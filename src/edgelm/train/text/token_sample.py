"""The text that a tokenizer learns from: a stream of documents, each language until its bytes are spent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from edgelm.chat import ask
from edgelm.data.documents import Document

HANZI = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
LOOK = 1000  # characters by which a language is known
Language = Literal["chinese", "other"]


class Sample:
    """Passes on the first documents of each language, and counts what it passed on.

    Args:
        most: bytes of all text.
        chinese: the share of them that only Chinese text may take; the rest is for all other text.
    """

    def __init__(self, most: int, chinese: float) -> None:
        share = round(most * chinese)
        self.left: dict[Language, int] = {"chinese": share, "other": most - share}  # bytes
        self.taken: dict[Language, int] = {"chinese": 0, "other": 0}
        self.hanzi: Counter[str] = Counter()  # in Chinese text

    def texts(self, documents: Iterable[Document]) -> Iterator[str]:
        """What of the documents is learned from; reads no further than to where both languages have their bytes."""
        for document in documents:
            language: Language = "chinese" if is_chinese((document.question or "") + document.text) else "other"
            for text in rendered(document):
                if kept := self._take(text, language):
                    yield kept
            if not any(self.left.values()):
                return

    def _take(self, text: str, language: Language) -> str:
        """As much of a text as there is room for in its language."""
        content = text.encode()
        if len(content) > self.left[language]:
            content = content[: self.left[language]]
            text = content.decode(errors="ignore")  # a character that is cut in two is left out
        self.left[language] -= len(content)
        self.taken[language] += len(content)
        if language == "chinese":
            self.hanzi.update(HANZI.findall(text))
        return text


def rendered(document: Document) -> Iterator[str]:
    """A document's text in the pieces that are encoded apart from each other: a prompt ends before its answer."""
    if document.question is not None:
        yield from (f"{message['role']}\n{message['content']}" for message in ask(document.question).messages())
        yield "assistant\n"
    yield document.text


def is_chinese(text: str) -> bool:
    """Whether at least a fifth of the first characters are hanzi."""
    start = text[:LOOK]
    return not start.isascii() and len(HANZI.findall(start)) * 5 >= len(start)
