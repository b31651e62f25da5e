"""A step on a node of a cluster, run for a worker elsewhere that shares a folder with the node.

    python -m edgelm.server.worker.executors.node ORDER

The order is a file that says what to run. Beside it the worker counts as long as it lives, and the node says how the
step ended. A node that sees the count stand still ends the step: of a worker that is gone nothing is left that runs,
whether or not the cluster knows. What stands still is told by the node's own clock, since clocks differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex

from edgelm.server.worker.executors.base import Ended, Limits, Step
from edgelm.server.worker.executors.local import Local

_POLL, _TRIAL = 0.1, 60.0  # seconds
_DEVICES = "CUDA_VISIBLE_DEVICES"  # the cluster's choice of a node's accelerators goes before the worker's


@dataclass(frozen=True)
class Order:
    """The files by which a worker and a node speak about a step; they have a name that comes once."""

    path: Path

    @classmethod
    def give(cls, step: Step, silence: float) -> Order:
        """Write down a step in its folder, and after how many seconds without a sign of the worker it ends."""
        order = cls(step.folder / f"order-{token_hex(8)}.json")
        order.path.write_text(json.dumps({"step": asdict(step), "silence": silence}, default=str), encoding="utf-8")
        return order

    def read(self) -> tuple[Step, float]:
        """The step, and the seconds."""
        told = json.loads(self.path.read_text(encoding="utf-8"))
        step = told["step"]
        step |= {"words": tuple(step["words"]), "trial": tuple(step["trial"]), "folder": Path(step["folder"]),
                 "limits": Limits(**step["limits"]),
                 "writes": Path(step["writes"]) if step["writes"] else None}  # fmt: skip
        return Step(**step), told["silence"]

    def count(self, number: int) -> None:
        """The worker lives."""
        self.path.with_suffix(".alive").write_text(str(number))

    def counted(self) -> str:
        """What the worker has counted."""
        with contextlib.suppress(OSError):
            return self.path.with_suffix(".alive").read_text()
        return ""

    def end(self, ended: Ended) -> None:
        """Say how the step ended, whole or not at all."""
        made = self.path.with_suffix(".ending")
        with contextlib.suppress(FileNotFoundError):  # the folder went with its worker, or to another
            made.write_text(json.dumps(asdict(ended)))
            made.replace(self.path.with_suffix(".ended"))

    def ended(self) -> Ended | None:
        """How the step ended."""
        try:
            return Ended(**json.loads(self.path.with_suffix(".ended").read_text()))
        except FileNotFoundError:
            return None


class _Worker:
    """The worker of an order, as its node knows it."""

    def __init__(self, order: Order, silence: float) -> None:
        self._order, self._silence = order, silence
        self._last, self._at = order.counted(), time.monotonic()
        self.heard = False

    def lives(self) -> bool:
        """Whether it went on counting lately."""
        if (now := self._order.counted()) != self._last:
            self._last, self._at, self.heard = now, time.monotonic(), True
        return time.monotonic() - self._at < self._silence


def run(path: str) -> None:
    """Run the step of an order on this machine, as long as its worker lives."""
    order = Order(Path(path))
    step, silence = order.read()
    worker, local, ended = _Worker(order, silence), Local(), None
    while not worker.heard:  # it may have gone while the cluster was busy
        if not worker.lives():
            return
        time.sleep(_POLL / 2)
    if _DEVICES in os.environ:
        step = replace(step, env={**step.env, _DEVICES: os.environ[_DEVICES]})
    handle = local.start(step)
    try:
        while (ended := local.poll(handle)) is None and worker.lives():
            time.sleep(_POLL)
        if ended is not None and ended.code and step.trial:
            ended = replace(ended, well=_starts(step))
    finally:  # the cluster may want it to end, too
        local.cancel(handle)
        order.end(ended or Ended("cancelled"))


def _starts(step: Step) -> bool:
    """Whether the step's box does, here and now."""
    try:
        return subprocess.run(step.trial, stdin=subprocess.DEVNULL, capture_output=True, env=dict(step.env), cwd="/",
                              timeout=_TRIAL, check=False).returncode == 0  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    run(sys.argv[1])
