"""Which training documents hold text of the benchmarks: runs of n units that they share, found by hash."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgelm.data.documents import Document
from edgelm.data.folder import DataFolder
from edgelm.files import canonical_json
from edgelm.train.overlap.grams import Hashes, Members, Runs, joined, unit_hashes, units
from edgelm.train.overlap.items import Item, parts
from edgelm.train.overlap.runs import CONTEXT_RUN, SHORTEST, Gathered

LENGTH = 13  # units of a run of a question or an answer
_AT_ONCE = 1 << 16  # units that are looked through together: their arrays stay in the processor's cache


@dataclass(frozen=True)
class Hit:
    """What a document shares with an item: the longest run of units, and where it begins among the document's."""

    benchmark: str
    item: str
    units: str
    start: int


class OverlapIndex:
    """The hashes of all runs of units that count, and the items that they are from.

    Attributes:
        n: units of a run of questions, choices and answers.
        missing: benchmarks, or parts of them, that were not at hand.
        items: benchmark and name of every item.
        blind: how many items of each benchmark cannot be found, having too few units.
        digest: sha256 of all that decides what is found.
    """

    def __init__(self, items: Iterable[Item], n: int = LENGTH, missing: Sequence[str] = ()) -> None:
        self.n, self.missing = n, tuple(missing)
        self.items: list[tuple[str, str]] = []
        gathered = Gathered(n)
        for item in items:
            gathered.add(item)
            self.items.append((item.benchmark, item.name))
        self._kept = gathered.kept()
        unseen = np.setdiff1d(np.arange(len(self.items)), self._kept.items)
        self.blind = dict(Counter(self.items[item][0] for item in unseen))
        self.digest = self._digest()
        self._prepare()

    @classmethod
    def build(cls, data: DataFolder, n: int = LENGTH) -> OverlapIndex:
        """The index of all benchmark files at hand; nothing is fetched.

        Raises:
            BadFile: a file is damaged, another edition than the pinned one, or lacks a column.
        """
        here, missing = parts(data)
        offline = DataFolder(data.root, offline=True)
        return cls((item for part in here for item in part.items(offline)), n, missing)

    def overlaps(self, text: str) -> bool:
        """Whether a text shares a run of units with any item."""
        return bool(self.flags([text])[0])

    def flags(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of many texts do; many at once take less time than one by one. Shape (texts,)."""
        flagged = np.zeros(len(texts), bool)
        waiting: list[Hashes] = []
        first = size = 0
        for number, text in enumerate(texts, 1):
            waiting.append(unit_hashes(units(text)))
            size += len(waiting[-1])
            if size >= _AT_ONCE or number == len(texts):
                hashes, starts = joined(waiting)
                places, _, _ = self._found(hashes)
                flagged[first + np.searchsorted(starts, places, "right") - 1] = True
                waiting, first, size = [], number, 0
        return flagged

    def hits(self, text: str) -> list[Hit]:
        """Every longest run of units that a text shares with an item, in the order of the text."""
        words = units(text)
        spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
        places, lengths, grams = self._found(unit_hashes(words))
        begins, ends = (np.searchsorted(self._kept.grams, grams, side) for side in ("left", "right"))
        for place, length, begin, end in zip(places.tolist(), lengths.tolist(), begins, ends, strict=True):
            for item in self._kept.items[begin:end].tolist():
                spans[item].append((place, place + length))
        found = [(start, end, item) for item, each in spans.items() for start, end in _merged(each)]
        return [Hit(*self.items[item], " ".join(words[start:end]), start) for start, end, item in sorted(found)]

    def _found(self, hashes: Hashes) -> tuple[NDArray[np.intp], NDArray[np.intp], Hashes]:
        """Places, lengths and hashes of all runs of some units that are in the index."""
        runs = Runs(hashes)
        own = [(length, np.arange(runs.places(length)), runs.of(length)) for length in sorted({self.n, CONTEXT_RUN})]
        begun = self._begun.places(runs.of(SHORTEST))  # short texts are looked for where one begins
        for length in self._kept.lengths if len(begun) else ():
            room = begun[begun + length <= runs.count]
            own.append((length, room, runs.at(room, length)))
        members = [self._members.places(grams) for _, _, grams in own]
        return (
            np.concatenate([places[at] for (_, places, _), at in zip(own, members, strict=True)]),
            np.repeat([length for length, _, _ in own], [len(at) for at in members]),
            np.concatenate([grams[at] for (_, _, grams), at in zip(own, members, strict=True)]),
        )

    def _digest(self) -> str:
        digest = sha256(canonical_json({"n": [self.n, CONTEXT_RUN, *self._kept.lengths], "items": self.items}))
        for array, kind in ((self._kept.grams, "<u8"), (self._kept.items, "<u4"), (self._kept.beginnings, "<u8")):
            digest.update(array.astype(kind, copy=False).tobytes())
        return digest.hexdigest()

    def _prepare(self) -> None:
        self._members, self._begun = Members(self._kept.grams), Members(self._kept.beginnings)

    def __getstate__(self) -> dict[str, Any]:
        """All but the tables, which are as quickly made anew."""
        return {name: value for name, value in vars(self).items() if name not in ("_members", "_begun")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap or touch made one."""
    made: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end)
        else:
            made.append((start, end))
    return made


def written(document: Document) -> str:
    """All that a document says: its text, behind the question if it answers one."""
    return document.text if document.question is None else f"{document.question}\n{document.text}"


@dataclass
class Tally:
    """What was dropped for the sake of each benchmark.

    A document that touches several benchmarks counts for each of them, and once in all.
    """

    items: dict[str, set[str]] = field(default_factory=dict)  # touched, by benchmark
    documents: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    dropped: int = 0  # documents in all
    dropped_tokens: int = 0

    def add(self, hits: Sequence[Hit], tokens: int = 0) -> None:
        """Count a dropped document: what it hit, and its tokens."""
        self.dropped, self.dropped_tokens = self.dropped + 1, self.dropped_tokens + tokens
        for hit in hits:
            self.items.setdefault(hit.benchmark, set()).add(hit.item)
        for benchmark in {hit.benchmark for hit in hits}:
            self.documents[benchmark] += 1
            self.tokens[benchmark] += tokens

    def card(self, index: OverlapIndex) -> dict[str, Any]:
        """The counts for a card, ready for JSON: of each benchmark in the index, and in all."""
        held = Counter(benchmark for benchmark, _ in index.items)
        benchmarks = {
            name: {"items": held[name], "too_short": index.blind.get(name, 0),
                   "touched": len(self.items.get(name, ())), "documents": self.documents[name],
                   "tokens": self.tokens[name]}
            for name in held
        }  # fmt: skip
        return {"n": index.n, "index": index.digest, "missing": list(index.missing), "documents": self.dropped,
                "tokens": self.dropped_tokens, "benchmarks": benchmarks}  # fmt: skip
