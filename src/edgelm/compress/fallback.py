"""Which text to calibrate on, without rows of the benchmarks; and the short one that comes with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from edgelm.data.documents import plain
from edgelm.data.folder import DataFolder
from edgelm.data.rows import PARQUET
from edgelm.data.texts import BUILT_IN, OPEN, TextSource, from_file, from_folder, training_names
from edgelm.errors import MissingInput
from edgelm.files import sha256_bytes
from edgelm.train.overlap.index import OverlapIndex, Tally, written

_LETTER, _PACKED = 2, 3  # bytes in memory for one in a file, at the most as a rule; and for one that is packed
BUILT_IN_WARNING = (
    "calibrated on the short built-in text, which is in no rule set's allowed data, so that such a model cannot be "
    "handed in: give --data or --calib"
)


def find_texts(paths: Sequence[Path], data: DataFolder) -> list[TextSource]:
    """The texts of the given files; of the data folder if none is given; the built-in one if that has none.

    Documents that share a run of words with an item of a benchmark that is at hand are left out, as in training.

    Raises:
        MissingInput, BadFile: see `from_file` and `from_folder`; or all of a text's documents are left out.
    """
    texts = [from_file(path) for path in paths] or from_folder(data)
    return without_benchmarks(texts, OverlapIndex.build(data)) if texts else [built_in()]


def size_of_texts(paths: Sequence[Path], data: DataFolder) -> int:
    """Bytes of memory that the texts of `find_texts` will take, about, by their files alone; 0 for the built-in one."""
    found = [path for path in paths or map(data.here, training_names(data)) if path is not None and path.is_file()]
    return sum(_LETTER * path.stat().st_size * (_PACKED if path.name.endswith((".gz", PARQUET)) else 1)
               for path in found)  # fmt: skip


def without_benchmarks(texts: Sequence[TextSource], index: OverlapIndex) -> list[TextSource]:
    """The texts without the documents that an index finds; each knows what was left out of all of them together.

    Raises:
        MissingInput: nothing is left of a text.
    """
    if not index.items:
        return list(texts)
    kept: list[TextSource] = []
    tally = Tally()
    for text in texts:
        said = [written(document) for document in text.documents]
        flags = index.flags(said)
        for shared in (what for what, flag in zip(said, flags, strict=True) if flag):
            tally.add(index.hits(shared))
        documents = [document for document, flag in zip(text.documents, flags, strict=True) if not flag]
        if not documents:
            raise MissingInput(
                f"nothing of the text {text.name} is left to calibrate on",
                why="each document shares a run of words with a benchmark",
                mend="give other text",
            )
        kept.append(replace(text, documents=documents))
    about = tally.card(index)
    return [replace(text, overlap=about) for text in kept]


def built_in() -> TextSource:
    """The short text that comes with the package."""
    content = (files("edgelm.compress") / "calibration.txt").read_bytes()
    return TextSource(BUILT_IN, plain(content.decode()), sha256_bytes(content), OPEN)
