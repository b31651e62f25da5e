"""The documents of a corpus one after another: read, cleaned, judged, and counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edgelm.data.documents import Document
from edgelm.data.text_files import TextFile
from edgelm.errors import MissingInput, Offline
from edgelm.train.base import Progress
from edgelm.train.overlap.index import OverlapIndex
from edgelm.train.text.judging import TRAIN, Ledger, Verdicts
from edgelm.train.text.parallel import in_order
from edgelm.train.text.preparing import Chunk, Feed, Prepared, Preparer, chunks

BYTES_A_TOKEN = 4  # about; where text is counted before there is a tokenizer
UNZIPPED = 3  # bytes of text for one of a gzip file, about; for the progress alone


class Judged(NamedTuple):
    """A document in its turn: the number of its ledger, what was found out about it, and what becomes of it."""

    ledger: int
    document: Document
    prepared: Prepared
    verdict: str


class Reading:
    """Reads feeds in order, each as far as its data set is wanted; nothing depends on the number of processes.

    Args:
        feeds: in order.
        verdicts: what becomes of a document.
        limits: tokens to train on, by data set; without a tokenizer four bytes stand for a token.
        most: bytes of text to train on of each data set; 0: no limit.
        progress: told bytes of text, as far as sizes on the disk say how many there are.

    Attributes:
        ledgers: of the feeds that were read so far, in order.
    """

    def __init__(
        self, feeds: Sequence[Feed], verdicts: Verdicts, limits: Mapping[str, int], progress: Progress, most: int = 0
    ) -> None:
        self.ledgers: list[Ledger] = []
        self._feeds, self._verdicts, self._limits, self._most = feeds, verdicts, limits, most
        self._progress = progress
        self._tokens: defaultdict[str, float] = defaultdict(float)  # trained on, by data set
        self._bytes: Counter[str] = Counter()
        self._full: set[str] = set()  # data sets of which there is enough
        self._sizes = [_size(feed, limits) for feed in feeds]

    def judged(self, index: OverlapIndex, near: bool, tokenizer: Path | None, workers: int) -> Iterator[Judged]:
        """Every document; see `Preparer` for `index`, `near` and `tokenizer`.

        Raises:
            InputError: a feed cannot be read, or holds no text.
            Offline: there is less of a data set than wanted, and no more may be fetched.
        """
        make, current, passed = partial(Preparer, index, near, tokenizer), -1, 0
        for chunk, prepared in in_order(make, self._chunks(), workers):
            feed = self._feeds[chunk.feed]
            if feed.name in self._full:
                continue
            if not chunk.documents:
                self._require_enough(chunk, counted=tokenizer is not None)
                continue
            if chunk.feed != current:
                current, passed = chunk.feed, 0
                self.ledgers.append(Ledger(feed))
            for document, found in zip(chunk.documents, prepared, strict=True):
                verdict = self._verdicts.of(found, feed.name)
                self.ledgers[-1].add(document, found, verdict)
                yield Judged(len(self.ledgers) - 1, document, found, verdict)
                if verdict == TRAIN and self._is_full(feed.name, found):
                    self._full.add(feed.name)
                    break
            passed += sum(found.bytes for found in prepared)
            done = sum(self._sizes[: chunk.feed]) + min(passed, self._sizes[chunk.feed])
            self._progress("corpus", done, sum(self._sizes))

    def _chunks(self) -> Iterator[Chunk]:
        for number, feed in enumerate(self._feeds):
            if feed.name not in self._full:
                for chunk in chunks(feed, number):
                    yield chunk
                    if feed.name in self._full:
                        break

    def _require_enough(self, chunk: Chunk, *, counted: bool) -> None:
        """Stop where a feed holds nothing, or ends in a failure; what cannot be fetched counts only if it is missed."""
        feed = self._feeds[chunk.feed]
        if chunk.failure is None:
            raise MissingInput(f"{feed.file} holds no text", mend="remove it, or give a file with some documents")
        if counted or not self._bytes[feed.name] or not isinstance(chunk.failure, Offline):
            raise chunk.failure

    def _is_full(self, name: str, found: Prepared) -> bool:
        """Count a document of a data set, and say whether there is now enough of it."""
        self._tokens[name] += found.bytes / BYTES_A_TOKEN if found.ids is None else len(found.ids)
        self._bytes[name] += found.bytes
        enough = self._limits.get(name, 0)
        return bool((enough and self._tokens[name] >= enough) or (self._most and self._bytes[name] >= self._most))


def _size(feed: Feed, limits: Mapping[str, int]) -> int:
    """About how many bytes of text a feed has."""
    if not isinstance(feed, TextFile):
        return limits.get(feed.name, 0) * BYTES_A_TOKEN
    return feed.path.stat().st_size * (UNZIPPED if feed.path.suffix == ".gz" else 1)
