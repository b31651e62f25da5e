"""Read C4 and Alpaca, clean them, drop what overlaps with the benchmarks, and store the rest as tokens."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgelm.data.documents import Document
from edgelm.errors import BadOption, MissingInput
from edgelm.files import canonical_json, disk_errors
from edgelm.folders import new_folder
from edgelm.train.base import Progress, Work, silent
from edgelm.train.overlap.index import OverlapIndex, Tally
from edgelm.train.rows.shards import INDEX, ShardWriter, write_index
from edgelm.train.text.encoding import Encoder
from edgelm.train.text.feeds import feeds, is_allowed
from edgelm.train.text.judging import HELD, TRAIN, Ledger, Verdicts
from edgelm.train.text.preparing import Prepared
from edgelm.train.text.reading import Judged, Reading

NONE = "none"
OVERLAPS = "overlap.jsonl"  # every run of units that a document shares with a benchmark


@dataclass(frozen=True)
class Corpus:
    """Of C4 and Alpaca all that lies in the data folder, unless something else is asked for."""

    c4: int = 0  # tokens of C4 in English; 0: all there is
    c4zh: int | None = None  # tokens of C4 in Chinese: a reading of the rules, which name C4 without a language
    alpaca: tuple[str, ...] = ("en", "zh")  # en, zh, both, or none
    files: tuple[str, ...] = ()  # paths below the data folder, read in place of everything else
    columns: tuple[str, ...] = ()  # of rows that have them all, joined to one text
    held_out: float = 0.01  # share of the documents, up to 1,000 of a data set
    overlap: Literal["drop", "report"] = "drop"  # what becomes of documents that share text with a benchmark
    near: bool = False  # drop near duplicates too
    other: bool = False  # read files that are neither C4 nor Alpaca; the card then says that the data is not allowed
    download: bool = False  # fill C4 up from upstream to `c4` tokens, and fetch Alpaca

    def __post_init__(self) -> None:
        for option, value in (("c4", self.c4), ("c4zh", self.c4zh or 0)):
            if value < 0:
                raise BadOption(f"{option}={value} is not possible", mend=f"{option}=2.5B, or 0 for all there is")
        unknown = set(self.alpaca) - {"en", "zh", NONE}
        if unknown or (NONE in self.alpaca and len(self.alpaca) > 1):
            raise BadOption(f"alpaca={'+'.join(self.alpaca)} is not possible", mend="en, zh, en+zh or none")
        if not 0 <= self.held_out <= 0.5:
            raise BadOption(f"held_out={self.held_out} is not possible", mend="a share from 0 to 0.5, such as 0.01")

    def run(self, work: Work) -> dict[str, Any]:
        """Write the corpus, which appears whole or not at all; what was read, and what became of it.

        Raises:
            MissingInput: there is no tokenizer, nothing to train on, or a file lacks rows or fields.
            BadFile: a file is damaged or not in its format.
            BadOption: a file may not be trained on.
            Offline: there is less of C4 than wanted, and no more may be fetched.
            NoSpace: the disk is full.
        """
        encoder, index, folder = Encoder(work.folder("tokenizer")), OverlapIndex.build(work.data), work.folder("corpus")
        skipped: dict[str, str] = {}
        reading = self._reading(work, skipped, work.progress)
        self._tell(work, index, skipped)
        _remove_corpus(folder)
        with new_folder(folder) as partial:
            judged = reading.judged(index, self.near, encoder.folder, work.workers)
            made, tally = self._write(judged, reading, partial, encoder.vocab)
            sources = [ledger.source() for ledger in reading.ledgers]
            if not sum(source["documents"] for source in sources):
                raise MissingInput("the corpus has no document to train on", why=_dropped(sources),
                                   mend="give more data, or corpus:held_out=0")  # fmt: skip
            about = {
                "tokenizer": encoder.digest, "vocab": encoder.vocab, "sources": sources,
                "overlap": {"mode": self.overlap, **tally.card(index)}, "skipped": skipped,
                "data_allowed": all(is_allowed(source, work.data) for source in sources),
            }  # fmt: skip
            write_index(partial, about | made)
        return {"step": "corpus"} | {key: about[key] for key in ("data_allowed", "sources", "overlap", "skipped")}

    def documents(self, work: Work, most: int = 0) -> Iterator[Document]:
        """The documents that `run` will train on, for a tokenizer that is still to be made.

        Where a number of tokens is wanted, four bytes count as one. What is held out or dropped is not among them.

        Args:
            work: what the steps share.
            most: bytes of text of each data set at most; 0: no limit.

        Raises:
            InputError: as `run` does.
        """
        reading = self._reading(work, {}, silent, most)
        index = OverlapIndex.build(work.data)
        for judged in reading.judged(index, self.near, None, work.workers):
            if judged.verdict == TRAIN:
                yield judged.document

    def _reading(self, work: Work, skipped: dict[str, str], progress: Progress, most: int = 0) -> Reading:
        read = feeds(self, work.data, skipped.__setitem__)
        verdicts = Verdicts(self.held_out, drop=self.overlap == "drop", near=self.near)
        return Reading(read, verdicts, {"c4": self.c4, "c4-zh": self.c4zh or 0}, progress, most)

    def _tell(self, work: Work, index: OverlapIndex, skipped: dict[str, str]) -> None:
        reasons = defaultdict[str, list[str]](list)
        for name, why in skipped.items():
            reasons[why].append(name)
        for why, names in reasons.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            work.note(f"corpus: {names[0]}{more}: not read, {why}")
        if index.missing:
            absent = Counter(name.partition("/")[0] for name in index.missing)
            parts = [name if name in index.missing else f"{count} parts of {name}" for name, count in absent.items()]
            work.note(f"corpus: benchmarks that are not here cannot be looked for: {', '.join(parts)}")

    def _write(
        self, judged: Iterator[Judged], reading: Reading, folder: Path, vocab: int
    ) -> tuple[dict[str, list[dict[str, Any]]], Tally]:
        """Write documents into shards, and what overlaps into a list; the shards' entries, and the overlaps."""
        tally, counted = Tally(), {"overlap"} if self.overlap == "drop" else {TRAIN, HELD}
        with (
            ShardWriter(folder, TRAIN, vocab) as train, ShardWriter(folder, HELD, vocab) as held,
            disk_errors(folder), (folder / OVERLAPS).open("wb") as overlaps,
        ):  # fmt: skip
            writers = {TRAIN: train, HELD: held}
            for ledger, document, found, verdict in judged:
                if verdict in writers and found.ids is not None:
                    writers[verdict].add(found.ids, found.given, ledger, document.question is not None)
                if found.hits and verdict in counted:
                    tally.add(found.hits, 0 if found.ids is None else len(found.ids))
                    overlaps.writelines(_overlaps(found, reading.ledgers[ledger]))
            return {part: writer.close() for part, writer in writers.items()}, tally


def _overlaps(found: Prepared, ledger: Ledger) -> Iterator[bytes]:
    """A line of JSON for each run of units that the newest document of a ledger shares with a benchmark."""
    for hit in found.hits:
        row = {"file": ledger.feed.file, "document": ledger.read - 1, "benchmark": hit.benchmark, "item": hit.item}
        yield canonical_json(row | {"units": hit.units}) + b"\n"


def _remove_corpus(folder: Path) -> None:
    """Remove a corpus that was made with other settings; nothing else."""
    if (folder / INDEX).is_file():
        with disk_errors(folder):
            shutil.rmtree(folder)


def _dropped(sources: list[dict[str, Any]]) -> str:
    total: Counter[str] = Counter()
    for source in sources:
        total.update(source["dropped"] | {"held out": source["held_documents"]})
    return ", ".join(f"{count:,} {reason}" for reason, count in total.items() if count)
