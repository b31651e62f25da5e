"""Where layers are run: on the CPU, or on a GPU, while what they read and write stays in the host's memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from edgelm.devices.meters import host_peak
from edgelm.errors import BadOption


def device_of(name: str) -> torch.device:
    """The device to compute on: `cpu`, `cuda`, or by `auto` a GPU if there is one.

    Raises:
        BadOption: there is no GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise BadOption("--device cuda: torch sees no GPU here", mend="give --device cpu")
    return torch.device(name)


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes that this process has had at the most so far: of the host's memory, and of the GPU's if it uses one."""
    peaks = {"resident": host_peak()}
    return peaks | {"device": torch.cuda.max_memory_reserved(device)} if device.type == "cuda" else peaks


def home(x: Tensor) -> Tensor:
    """The tensor in the host's memory; what comes from a GPU lies in pages from which it is fetched again quickly."""
    return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x) if x.is_cuda else x


def placed(value: Any, device: torch.device) -> Any:
    """The same value with all its tensors on the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(placed(item, device) for item in value)
    if isinstance(value, dict):
        return {key: placed(item, device) for key, item in value.items()}
    return value


@contextlib.contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Let a GPU round what it multiplies in float32 to 10 bits, as long as the block lasts: not for solving systems."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
