"""Calibration text and, of each data set apart, text that is never calibrated on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Tokens
from edgelm.compress.calibrate import draw
from edgelm.data.documents import Document
from edgelm.data.folder import DataFolder
from edgelm.data.texts import TextSource, from_folder

_LEAST = 0.05  # share of a data set's documents that are judged on, or more if that gives too few tokens
_HELD_SEED = 0  # which documents are judged on is the same whatever --seeds says


def split(
    base: Checkpoint, data: Path, tokens: int, sequence: int
) -> tuple[list[TextSource], dict[str, list[Tokens]]]:  # fmt: skip
    """One text to calibrate on of each data set, and by its name `tokens` tokens to judge on."""
    by_name: dict[str, list[TextSource]] = {}
    for text in from_folder(DataFolder(data, offline=True)):
        by_name.setdefault(text.name, []).append(text)
    pools, held = [], {}
    for name, texts in sorted(by_name.items()):
        kept, judged = _apart([document for text in texts for document in text.documents], tokens)
        digest = texts[0].sha256
        pools.append(TextSource(name, kept, digest, texts[0].licence))
        held[name] = draw(
            base, [TextSource(name, judged, digest)], tokens=tokens, sequence=sequence, seed=_HELD_SEED
        ).batches
    return pools, held


def _apart(documents: Sequence[Document], tokens: int) -> tuple[list[Document], list[Document]]:
    """Each document once, for calibration or for judging."""
    once = list(dict.fromkeys(documents))
    random.Random(_HELD_SEED).shuffle(once)
    characters, count = 0, 0
    while count < len(once) // 2 and (count < _LEAST * len(once) or characters < 8 * tokens):
        characters += len(once[count].text)
        count += 1
    return once[count:], once[:count]
