"""Which texts a corpus is made of, in order: C4, then Alpaca, then what else was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edgelm.data.folder import DataFolder
from edgelm.data.hub import HubText, place_by_hand
from edgelm.data.miniature import NAME as MINIATURE
from edgelm.data.text_files import TextFile, fetched, training_files
from edgelm.data.texts import SETS, upstream_sets
from edgelm.errors import BadOption, MissingInput
from edgelm.train.text.preparing import Feed

if TYPE_CHECKING:
    from edgelm.train.corpus import Corpus

ALPACA = {"en": ("alpaca", "alpaca/en/alpaca_data.json"), "zh": ("alpaca-zh", "alpaca/zh/alpaca-chinese-52k-v3.json")}


def feeds(wanted: Corpus, data: DataFolder, skipped: Callable[[str, str], object]) -> list[Feed]:
    """The sources of a corpus; `skipped` is told the files that are passed over, and why.

    C4 from the hub follows the files of C4 if a number of tokens is wanted: it is read only as far as they fall short,
    and refuses where nothing may be fetched.

    Raises:
        MissingInput: there is nothing to train on, or a named file is not there.
        BadOption: a named file is neither C4 nor Alpaca.
        Offline: Alpaca is to be fetched, and cannot be.
    """
    found = training_files(data, wanted.files, wanted.columns)
    for name, why in found.skipped.items():
        skipped(name, why)
    if wanted.files:
        for file in found.files:
            _require_allowed(file, wanted)
        return list(found.files)
    kept = [file for file in found.files if _take(file, wanted, skipped)]
    if wanted.download and data.upstream:
        kept += _fetched_alpaca(wanted, data, {file.file for file in kept})
    made: list[Feed] = [file for file in kept if file.name not in SETS]  # the miniature
    for name in SETS:
        made += [file for file in kept if file.name == name]
        if {"c4": wanted.c4, "c4-zh": wanted.c4zh}.get(name):
            made.append(HubText(name, data, download=wanted.download))
    if not made:
        where = data.root or "the cache"
        passed = [f"{name} is not read: {why}" for name, why in found.skipped.items()]
        raise MissingInput(f"{where} holds no training data",
                           why="; ".join(passed[:3]) or "there is nothing to read in alpaca/ and c4/",
                           mend="give another --data; corpus:download=true fetches Alpaca")  # fmt: skip
    if wanted.c4zh is not None and not any(feed.name == "c4-zh" for feed in made):
        raise MissingInput(f"{data.root} holds no C4 in Chinese", mend=place_by_hand("c4-zh"))
    return made


def _require_allowed(file: TextFile, wanted: Corpus) -> None:
    if file.name not in (*SETS, "miniature") and not wanted.other:
        raise BadOption(f"{file.file} is neither C4 nor Alpaca", why="the rules allow no other text",
                        mend="corpus:other=true reads it all the same, and the card says so")  # fmt: skip


def _take(file: TextFile, wanted: Corpus, skipped: Callable[[str, str], object]) -> bool:
    """Whether a file that nobody named is wanted."""
    asked = {"c4": True, "miniature": True, "c4-zh": wanted.c4zh is not None}
    asked |= {name: language in wanted.alpaca for language, (name, _) in ALPACA.items()}
    if file.name not in asked:
        skipped(file.file, f"{file.name} is neither C4 in English or Chinese nor Alpaca")
    elif not asked[file.name]:
        skipped(file.file, "corpus:c4zh=0 would read it" if file.name == "c4-zh" else f"{file.name} is not asked for")
    return asked.get(file.name, False)


def _fetched_alpaca(wanted: Corpus, data: DataFolder, here: set[str]) -> Iterator[TextFile]:
    for language, (_, name) in ALPACA.items():
        if language in wanted.alpaca and name not in here:
            yield fetched(data, name)


def is_allowed(source: dict[str, Any], data: DataFolder) -> bool:
    """Whether an entry of an index is of C4 or Alpaca, or of the folder's own miniature, and pinned by its digest."""
    if source["name"] == "miniature":
        return data.suite == MINIATURE and source["known"]
    fetched = source["file"].startswith("hub:")
    return source["name"] in SETS and (fetched or source["sha256"] in upstream_sets())
