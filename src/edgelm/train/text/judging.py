"""What becomes of each document in its turn: trained on, held out, or dropped and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from edgelm.data.documents import Document
from edgelm.data.text_files import TextFile
from edgelm.train.text.near import NearDuplicates
from edgelm.train.text.preparing import Feed, Prepared

TRAIN: Final = "train"  # the two verdicts that keep a document; all others are reasons to drop it
HELD: Final = "held"
REASONS = ("empty", "invalid", "duplicate", "overlap", "near")
MOST_HELD = 1000  # documents of a data set
REPEATS = "miniature"  # the data set that is drawn from a small world: it repeats itself, and what is asked, on purpose


class Verdicts:
    """Judges documents one after another: a verdict depends on those before it, and on nothing else.

    Args:
        held_out: the share of documents that are held out, by their digests, up to `MOST_HELD` of a data set.
        drop: whether documents that overlap with a benchmark are dropped.
        near: whether near duplicates are.
    """

    def __init__(self, held_out: float, *, drop: bool, near: bool) -> None:
        self._below, self._drop = int(held_out * 2**64), drop
        self._seen: set[int] = set()
        self._near = NearDuplicates() if near else None
        self._held: Counter[str] = Counter()

    def of(self, prepared: Prepared, name: str) -> str:
        """The verdict on the next document, which is from that data set."""
        if prepared.flaw:
            return prepared.flaw
        if name != REPEATS and (reason := self._reason(prepared)):
            return reason
        if prepared.digest < self._below and self._held[name] < MOST_HELD:
            self._held[name] += 1
            return HELD
        return TRAIN

    def _reason(self, prepared: Prepared) -> str:
        """Why a sound document is dropped, if it is."""
        if prepared.digest in self._seen:
            return "duplicate"
        self._seen.add(prepared.digest)
        if prepared.hits and self._drop:
            return "overlap"
        if self._near and prepared.signature is not None and self._near.holds(prepared.signature):
            return "near"
        return ""


@dataclass
class Counts:
    """Documents, tokens, and bytes of text."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0

    def add(self, prepared: Prepared) -> None:
        """Count a document."""
        self.documents += 1
        self.tokens += 0 if prepared.ids is None else len(prepared.ids)
        self.bytes += prepared.bytes


@dataclass
class Ledger:
    """What became of a feed's documents."""

    feed: Feed
    train: Counts = field(default_factory=Counts)
    held: Counts = field(default_factory=Counts)
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    read: int = 0  # documents
    _digest: Any = field(default_factory=hashlib.sha256)  # of the texts in order

    def add(self, document: Document, prepared: Prepared, verdict: str) -> None:
        """Enter a document."""
        self.read += 1
        if verdict in REASONS:
            self.dropped[verdict] += 1
        else:
            (self.train if verdict == TRAIN else self.held).add(prepared)
        if not isinstance(self.feed, TextFile):
            self._digest.update(document.text.encode("utf-8", "surrogatepass") + b"\x00")

    def source(self) -> dict[str, Any]:
        """The entry for the index; what is no file has the digest of the texts that were read of it."""
        sha256 = self.feed.sha256 if isinstance(self.feed, TextFile) else self._digest.hexdigest()
        return {
            "name": self.feed.name, "file": self.feed.file, "sha256": sha256, "known": self.feed.known,
            "licence": self.feed.licence, "documents": self.train.documents, "tokens": self.train.tokens,
            "bytes": self.train.bytes, "held_documents": self.held.documents, "held_tokens": self.held.tokens,
            "held_bytes": self.held.bytes, "dropped": dict(self.dropped),
        }  # fmt: skip
