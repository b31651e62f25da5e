"""What a person sees of a training run: the loss and the speed beside the bar, or a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from edgelm.cli.console import Bars, watched
from edgelm.train.costs.figures import clock, short

EVERY = 30.0  # seconds between lines where no bar moves


class Live:
    """Moves the bars of a run.

    Args:
        bars: what moves them.
        note: writes a line.
    """

    def __init__(self, bars: Bars, note: Callable[[str], object]) -> None:
        self._bars, self._note = bars, note
        self._total: dict[str, int] = {}
        self._seen = time.monotonic()
        self._said: dict[str, tuple[int, float]] = {}  # of a step: the update and the time of its first metrics

    def progress(self, what: str, done: int, of: int) -> None:
        """A step is so far."""
        self._total[what] = of
        self._bars(what, done, of)
        if what not in self._said:
            self._line(f"{what}: {done / max(1, of):.0%}")

    def told(self, what: str, metrics: Mapping[str, Any]) -> None:
        """A stage has made an update."""
        step, of = metrics["step"], self._total.get(what, metrics["step"])
        first, began = self._said.setdefault(what, (step, time.monotonic()))
        words = [f"loss {metrics['loss']:.3f}", f"{short(metrics['tokens_per_s'])} tokens/s"]
        if metrics.get("mfu") is not None:
            words.append(f"MFU {metrics['mfu']:.0%}")
        words += [f"{name} {found['bpb']:.3f} bits/byte" for name, found in (metrics.get("held") or {}).items()
                  if "bpb" in found]  # fmt: skip
        self._bars(what, step, of, "  ".join(words[:3]))
        if step > first:
            left = (of - step) * (time.monotonic() - began) / (step - first)
            self._line(
                f"{what}: update {step:,} of {of:,}, {', '.join(words)}, {clock(left)} left", held="held" in metrics
            )

    def _line(self, text: str, *, held: bool = False) -> None:
        now = time.monotonic()
        if not watched() and (held or now - self._seen >= EVERY):
            self._note(text)
            self._seen = now
