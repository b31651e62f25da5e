"""All that is found out about a document by itself: whether it is sound, its digest, its overlaps, its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgelm.data.documents import Document
from edgelm.data.hub import HubText
from edgelm.data.text_files import TextFile
from edgelm.errors import InputError
from edgelm.train.overlap.index import Hit, OverlapIndex, written
from edgelm.train.text.cleaning import digest, flaw
from edgelm.train.text.encoding import Encoder, Ids
from edgelm.train.text.near import Signature, signature

Feed = TextFile | HubText
CHARACTERS, DOCUMENTS = 1 << 19, 1024  # of a chunk, whichever it has first


@dataclass(frozen=True)
class Chunk:
    """Some documents of a feed, or why there are no more of them; a feed without documents gives one empty chunk."""

    feed: int
    documents: list[Document]
    failure: InputError | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found out about a document; of one with a flaw nothing else is known."""

    flaw: str
    digest: int = 0  # 64 bits
    bytes: int = 0  # of question and text in UTF-8
    hits: tuple[Hit, ...] = ()
    signature: Signature | None = None
    ids: Ids | None = None
    given: int = 0


def chunks(feed: Feed, number: int) -> Iterator[Chunk]:
    """The documents of a feed in chunks, the same however they are worked on; a failure comes behind what was read."""
    made: list[Document] = []
    size, empty = 0, True
    try:
        for document in feed.documents():
            made.append(document)
            size += len(document.text)
            if size >= CHARACTERS or len(made) == DOCUMENTS:
                yield Chunk(number, made)
                made, size, empty = [], 0, False
    except InputError as error:
        yield from [Chunk(number, made)] if made else []
        yield Chunk(number, [], error)
        return
    if made or empty:
        yield Chunk(number, made)


class Preparer:
    """Finds out about documents; equal documents give equal results in whatever process.

    Args:
        index: of the benchmarks' texts.
        near: whether signatures for near duplicates are wanted.
        tokenizer: a folder; None if no tokens are wanted.
    """

    def __init__(self, index: OverlapIndex, near: bool, tokenizer: Path | None) -> None:
        self._index, self._near = index, near
        self._encoder = Encoder(tokenizer) if tokenizer else None

    def __call__(self, chunk: Chunk) -> list[Prepared]:
        """What is found out about each document of a chunk."""
        flaws = [flaw(document) for document in chunk.documents]
        sound = [document for document, found in zip(chunk.documents, flaws, strict=True) if not found]
        texts = [written(document) for document in sound]
        flagged = self._index.flags(texts)
        encoded = self._encoder.encode(sound) if self._encoder else [(None, 0)] * len(sound)
        good = iter([
            Prepared("", digest(document), len(text.encode()), tuple(self._index.hits(text)) if hit else (),
                     signature(text) if self._near else None, ids, given)
            for document, text, hit, (ids, given) in zip(sound, texts, flagged, encoded, strict=True)
        ])  # fmt: skip
        return [Prepared(found) if found else next(good) for found in flaws]
