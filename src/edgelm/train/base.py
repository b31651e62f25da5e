"""What a training step is, what the steps of one run share, and the named shapes with what suits them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from edgelm.data.folder import DataFolder
from edgelm.shapes import Shape

if TYPE_CHECKING:
    from edgelm.train.loop.distributed import Spread, World

S = TypeVar("S")
Progress = Callable[[str, int, int], object]  # what is being done, how much is done, of how much


def silent(*_: object) -> None:
    """Tells nobody."""


@dataclass
class Work:
    """What the steps of one run share."""

    out: Path  # the checkpoint in the making
    data: DataFolder
    recipe: tuple[Any, ...] = ()  # all steps, with their defaults
    progress: Progress = silent
    note: Callable[[str], object] = silent  # told in words what a person should know
    told: Callable[[str, Mapping[str, Any]], object] = silent  # told a step's name and the metrics of each update
    workers: int = 1  # processes that prepare text
    here: World | None = None  # what the model is trained on
    how: Spread = "ddp"
    done: dict[str, dict[str, Any]] = field(default_factory=dict)  # what each finished step says of itself, by its name

    def folder(self, step: str) -> Path:
        """Where a step keeps what it makes."""
        return self.out / "work" / step

    def step(self, kind: type[S]) -> S:
        """The settings of another step of the run."""
        return next(step for step in self.recipe if isinstance(step, kind))


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


def with_qk_norm(shape: Shape) -> Shape:
    """The same dimensions as a Qwen3, whose queries and keys are normalised head by head."""
    return replace(shape, family="qwen3", qk_norm=True)


@dataclass(frozen=True)
class Tuning:
    """What training a shape takes where its step says nothing else."""

    batch: int  # tokens of an update
    steps: int = 0  # updates where neither tokens nor updates are asked for; 0: as the number of parameters says
    loss: Literal["all", "answers"] = "all"
    family: Literal["llama", "qwen3"] = "llama"  # qwen3 normalises queries and keys
    muon: float = 2e-3  # peak learning rate of the matrices inside layers
    adamw: float = 3e-3  # of the embedding and the norms
    init: float = 0.02  # standard deviation of fresh weights
    theta: float = 10_000.0  # base of the rotary positions
    context: int | None = None  # tokens of a row; the shape's context if not given
    warmup: float = 0.02  # share of the updates, at least 100 of them where there are that many
    decay: float = 0.2


# The miniatures are tuned on the miniature suite: in its short texts a small rotary base finds near tokens sooner, and
# queries and keys that are normalised make a model of this size learn to look things up in half of the updates. The
# rates from 5M to 125M are the best of sweeps on real text (docs/benchmarks.md, docs/log.md).
TUNINGS: dict[str, Tuning] = {
    "tiny": Tuning(2048, steps=100, muon=5e-3, adamw=5e-3, init=0.05, theta=10.0),
    "mini": Tuning(
        2048,
        steps=560,
        loss="answers",
        family="qwen3",
        muon=3e-3,
        adamw=5e-3,
        init=0.05,
        theta=10.0,
        context=128,
        warmup=0.04,
        decay=0.8,
    ),
    "5M": Tuning(16_384, muon=5e-3, adamw=1e-2, init=0.01),
    "15M": Tuning(65_536, muon=3e-3, adamw=6e-3),
    "50M": Tuning(262_144, muon=3e-3, adamw=6e-3),
    "125M": Tuning(524_288, muon=3e-3, adamw=6e-3),
    "125M-wide": Tuning(524_288, muon=3e-3, adamw=6e-3),
} | {name: Tuning(524_288) for name in ("350M", "350M-wide", "1B")}  # no run has shown rates for these
