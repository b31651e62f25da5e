"""Store the weights as float16 or float32, which is also what the result is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.config import stored_as

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model


@dataclass(frozen=True)
class Cast:
    """Round the weights to a dtype there and then: steps that follow see them rounded.

    The result is written in the dtype of the last such step; `--dtype` may say the same, but nothing else.

    Attributes:
        dtype: in which numbers are stored; none may be beyond what it can hold.
    """

    dtype: Literal["float16", "float32"]

    def idle(self, config: Config) -> bool:
        """Whether all weights are stored in the dtype already."""
        return bool((config.get("dtype") or config.get("torch_dtype")) == self.dtype)

    def plan(self, config: Config) -> Config:
        """The configuration that names the dtype."""
        return stored_as(config, self.dtype)

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Write every tensor that is stored in another dtype anew.

        Raises:
            BadFile: a tensor holds infinities or NaN.
            Unsupported: a weight is beyond the dtype's largest number.
        """
        from edgelm.compress.maths.casting import cast_all  # torch, which a plan does without

        record = cast_all(model, self.dtype, progress)
        model.config = self.plan(model.config)
        return record
