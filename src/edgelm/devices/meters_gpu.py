"""Memory meters of the GPU that this process uses: `allocator-peak` and `device-process`."""

from __future__ import annotations

import os
import subprocess

import torch


def device_in_use() -> int | None:
    """Bytes in use on the first visible GPU by anyone, asked of the driver's own program; None if it does not answer.

    Asked before this process touches the GPU, it is what others take.
    """
    index = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    command = ["nvidia-smi", "-i", index, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return int(answer.stdout.strip()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def device_runtime(others: int | None) -> int:
    """Bytes that the driver keeps for this process before it holds anything."""
    torch.cuda.init()
    torch.mm(torch.ones(16, 16, device="cuda"), torch.ones(16, 16, device="cuda"))  # makes context and library handles
    free, total = torch.cuda.mem_get_info()
    return total - free - others if others is not None else 0


def device_peaks(others: int | None) -> dict[str, int]:
    """Peaks on the current GPU, in bytes. `others`: what `device_in_use` gave before the start.

    The allocator keeps what it once took, so the driver's figure after the run is that of the peak.
    """
    peaks = {"allocator-peak": torch.cuda.max_memory_allocated()}
    if others is not None:
        free, total = torch.cuda.mem_get_info()
        peaks["device-process"] = total - free - others
    return peaks
