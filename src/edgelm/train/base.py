"""What a training step is, what the steps hand on to each other, and the named shapes with what suits them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgelm.checkpoint import Source
from edgelm.data.texts import TextSource
from edgelm.shapes import Shape

Progress = Callable[[str, int, int], object]  # what is being done, how much is done, of how much


def silent(what: str, done: int, of: int) -> None:
    """The progress of a run that nobody watches."""


@dataclass(frozen=True)
class Example:
    """One training sequence as token ids, and the number of them at the start that carry no loss."""

    ids: list[int]
    given: int


@dataclass
class Work:
    """What the steps of one run read and leave for the next."""

    folder: Path  # the checkpoint in the making
    texts: list[TextSource]
    progress: Progress
    tokenizer: Any = None  # a transformers tokenizer
    examples: list[Example] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)  # what the examples came from, for the card


class Step(Protocol):
    """A plug-in of `train/`: a frozen dataclass of settings."""

    def run(self, work: Work) -> dict[str, Any]:
        """Do the step, and say what it did (for the card).

        Raises:
            InputError: the data or the settings do not allow it.
        """
        ...


def _llama(
    layers: int, width: int, ffn: int, heads: int, kv_heads: int, head_size: int, vocab: int, context: int
) -> Shape:
    return Shape("llama", layers, width, heads, kv_heads, head_size, ffn, vocab, context, tied=True)


SHAPES: dict[str, Shape] = {
    "tiny": _llama(4, 64, 192, 2, 1, 32, 1024, 256),
    "mini": _llama(4, 128, 416, 4, 4, 32, 1024, 512),
    "5M": _llama(8, 192, 512, 3, 1, 64, 8192, 2048),
    "15M": _llama(10, 320, 768, 5, 1, 64, 16384, 2048),
    "50M": _llama(12, 512, 1408, 8, 2, 64, 32768, 2048),
    "125M": _llama(30, 576, 1536, 9, 3, 64, 32768, 2048),
    "125M-wide": _llama(16, 768, 2048, 12, 4, 64, 32768, 2048),
    "350M": _llama(32, 960, 2560, 15, 5, 64, 32768, 2048),
    "350M-wide": _llama(20, 1152, 3072, 9, 3, 128, 32768, 2048),
    "1B": _llama(24, 1920, 5120, 15, 5, 128, 32768, 2048),
}


@dataclass(frozen=True)
class Tuning:
    """What training a shape takes where its step says nothing else."""

    muon: float = 2e-3  # peak learning rate of the matrices inside layers
    adamw: float = 3e-3  # of the embedding and the norms
    init: float = 0.02  # standard deviation of fresh weights
    theta: float = 10_000.0  # base of the rotary positions


# Tuned on the miniature suite: in its short texts a small rotary base finds near tokens sooner.
_MINIATURE = Tuning(muon=5e-3, adamw=5e-3, init=0.05, theta=10.0)
TUNINGS: dict[str, Tuning] = {name: Tuning() for name in SHAPES} | {"tiny": _MINIATURE, "mini": _MINIATURE}
