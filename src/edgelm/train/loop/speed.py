"""How fast a run is: tokens a second, the share of the device's peak, memory, and the wait for data."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psutil
import torch

from edgelm.shapes import Shape
from edgelm.train.costs.flops import causal_flops_per_token, flops_per_token, mfu, peak
from edgelm.train.loop.distributed import World


@dataclass
class Meter:
    """Times updates.

    Args:
        shape: of the model.
        context: tokens of a row.
        here: where it runs.
        seconds: spent on the updates so far.
    """

    shape: Shape
    context: int
    here: World
    seconds: float = 0.0
    _began: float = field(default=0.0, init=False)
    _waited: float = field(default=0.0, init=False)

    def start(self) -> None:
        """An update begins."""
        self._began, self._waited = time.monotonic(), 0.0

    def waited(self, seconds: float) -> None:
        """The update waited so long for data."""
        self._waited += seconds

    def stop(self, tokens: int) -> dict[str, float | None]:
        """The update of that many tokens, over all processes, has ended: its metrics.

        `mfu` (convention of arXiv 2204.02311) and `mfu_causal` (attention counted at half) are shares of the peak of
        all devices together, None where the device's peak is not known; `memory_mb` is 10⁶ bytes at the most so far.
        """
        seconds = time.monotonic() - self._began
        self.seconds += seconds
        a_second = tokens / seconds
        return {
            "tokens_per_s": round(a_second, 1), "seconds": round(self.seconds, 3),
            "data_wait_s": round(self._waited, 5), "memory_mb": round(self._memory() / 1e6, 1),
            "mfu": self._share(flops_per_token(self.shape, self.context), a_second),
            "mfu_causal": self._share(causal_flops_per_token(self.shape, self.context), a_second),
        }  # fmt: skip

    def _share(self, flops: int, tokens_per_s: float) -> float | None:
        share = mfu(flops, tokens_per_s, peak(self.here.name), self.here.size)
        return None if share is None else round(share, 4)

    def _memory(self) -> int:
        if self.here.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.here.device)
        return psutil.Process().memory_info().rss
