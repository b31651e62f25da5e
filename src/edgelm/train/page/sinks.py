"""Metrics sent to TensorBoard beside `metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgelm.errors import MissingPackage


def tensorboard(folder: Path) -> Callable[[Mapping[str, Any]], None]:
    """What writes the metrics of an update as scalars over its step: `loss`, `held/c4/bpb`; flushed at once.

    A resumed run goes on in the same folder; updates that are made again are drawn as they were made last.

    Raises:
        MissingPackage: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingPackage("tensorboard", "tensorboard") from None
    writer: Any = None

    def write(metrics: Mapping[str, Any]) -> None:
        nonlocal writer
        if writer is None:  # from its first step on, an older run's later steps are void
            writer = SummaryWriter(str(folder), purge_step=metrics["step"])
        for name, value in scalars(metrics):
            writer.add_scalar(name, value, metrics["step"])
        writer.flush()

    return write


def scalars(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every finite number but the step, by its path: `held/c4/loss`."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and name != "step":
            yield prefix + name, float(value)
