"""Models that are tiny, and real: one that is trained on a miniature of the data, and smaller ones made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgelm.checkpoint import Checkpoint
from edgelm.compress.fallback import find_texts
from edgelm.compress.run import compress
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.plugins import parse
from edgelm.train.run import train

RULES = "miniature:prompt_tokens=16,generated_tokens=8,repeats=2,objection_days=7"
ROWS = 6  # of each task
SMALLER = (
    "depth:drop=1", "width:ffn=352", "width:ffn=288", "width:ffn=256", "width:ffn=224", "width:ffn=192",
    "depth:drop=1 width:ffn=352", "depth:drop=1 width:ffn=256", "depth:drop=1 width:ffn=192",
)  # fmt: skip


def data(folder: Path) -> Path:
    """The benchmarks and the training data, in miniature; the folder."""
    write(folder, rows=ROWS, train_rows=1000)
    return folder


def models(data: Path, folder: Path) -> Sequence[Path]:
    """A model trained from random weights, then smaller ones of it, as the demo makes them; no two of one size."""
    train([parse("train", "pretrain:steps=40")], data, folder / "base")
    base, texts = Checkpoint(folder / "base"), find_texts([], DataFolder(data))
    for number, steps in enumerate(SMALLER):
        compress(base, [parse("compress", step) for step in steps.split()], folder / f"{number}", texts=texts,
                 tokens=1024)  # fmt: skip
    made = [folder / "base", *(folder / f"{number}" for number in range(len(SMALLER)))]
    assert len({Checkpoint(path).parameters for path in made}) == len(made)
    return made
