"""Fit what a cut model's layers read and write to what the base computed, by least squares: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.errors import BadOption, Unsupported

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model


@dataclass(frozen=True)
class Repair:
    """Solve every matrix of every layer anew, one layer in memory at a time; no shape changes.

    Queries, keys, values, gates and whatever else reads the stream learn to say on the cut model's stream what they
    said on the base's. The matrices that write into the stream make good what it lacks of the base's by then, also
    what layers that were dropped would have added. Layers that are the base's own, on its stream, stay as they are.

    Attributes:
        ridge: how near matrices stay to what they are: λ over the mean diagonal of the sums. Without, three times the
            inputs of a matrix over the calibration tokens, but from 0.01 to 1.
        bend: the same λ for a second look at feed-forwards, which changes what their channels are so that the layer
            writes what it lacks; it takes longest of all. 0 leaves it out.
    """

    ridge: float | None = None
    bend: float = 1.0

    def __post_init__(self) -> None:
        if self.ridge is not None and self.ridge <= 0:
            raise BadOption(f"repair:ridge={self.ridge:g} is not possible", mend="give more than 0, such as 0.1")
        if self.bend < 0:
            raise BadOption(f"repair:bend={self.bend:g} is not possible", mend="give 0 or more, such as 1")

    def idle(self, config: Config) -> bool:
        """Never: what was cut before does not show in the configuration. A whole model keeps its bytes all the same."""
        return False

    def plan(self, config: Config) -> Config:
        """The same configuration.

        Raises:
            Unsupported: it is a GPT-2.
        """
        if config["model_type"] == "gpt2":
            raise Unsupported("the layers of a gpt2 model cannot be repaired", why="their matrices are fused otherwise",
                              mend="leave repair out; width:ffn refits what it cuts, and heal trains all")  # fmt: skip
        return config

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Repair layer by layer, each behind those repaired.

        Raises:
            Unsupported: a layer's sums are too degenerate to solve.
        """
        from edgelm.compress.maths.repairing import repair  # torch, which a plan does without

        return repair(model, batches, self.ridge, self.bend, progress)
