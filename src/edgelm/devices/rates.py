"""How fast this machine copies memory and multiplies matrices, measured in under a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

_SECONDS = 0.3  # spent on each rate


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_rate(device: torch.device) -> float:
    """Bytes a second, read and written counted, of a large copy."""
    size = 2**30 if device.type == "cuda" else 2**27
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), device)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second (a multiplication and an addition are two) of a square matrix product in `dtype`."""
    n = 1024 if device.type == "cpu" else 8192
    left = torch.randn(n, n, device=device).to(dtype)
    right = torch.randn(n, n, device=device).to(dtype)
    return 2 * n**3 / _fastest(lambda: torch.mm(left, right), device)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest run within the time allowed; a first run warms up and does not count."""
    work()
    synchronise(device)
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter_ns()
        work()
        synchronise(device)
        best = min(best, (time.perf_counter_ns() - start) / 1e9)
    return best
