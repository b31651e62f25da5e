"""What a compression step is: it plans from a configuration alone, and works on an opened model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

Config = dict[str, Any]  # the contents of a config.json
Tokens = Sequence[int]  # the ids of one calibration sequence
Progress = Callable[[str, int, int], object]  # what is being done, parts done, parts in all


@dataclass(frozen=True)
class FeedForward:
    """Names below `mlp` of the matrices that make the hidden channels, and of the one that reads them."""

    readers: tuple[str, ...]
    writer: str


_GATED = FeedForward(("gate_proj", "up_proj"), "down_proj")
FAMILIES = {
    "llama": _GATED, "qwen2": _GATED, "qwen3": _GATED,
    "phi": FeedForward(("fc1",), "fc2"), "gpt2": FeedForward(("c_fc",), "c_proj"),
}  # fmt: skip


class Step(Protocol):
    """A plug-in of `compress/`: a frozen dataclass whose fields are the options. It imports no torch to plan."""

    def idle(self, config: Config) -> bool:
        """Whether the step would change nothing; such a step is left out and touches no tensor."""
        ...

    def plan(self, config: Config) -> Config:
        """The configuration afterwards; `config` itself is not changed.

        Raises:
            BadOption: an option's value does not fit this model.
            Unsupported: this kind of model cannot be cut in this way.
        """
        ...

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Change the model as planned, and return what the card shall say about it.

        What it changes it writes into the model's folder; what an interrupted run has left there it goes on from.
        """
        ...
