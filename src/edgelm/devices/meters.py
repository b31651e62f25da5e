"""Memory meters of the process they are called in: `host-peak`, `host-pss`, `allocator-peak` and `device-process`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import torch

_INTERVAL = 0.05  # seconds between two samples


def host_peak() -> int:
    """Most bytes that were resident since the program started: VmHWM, or what the system offers in its place."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident() -> int:
    """Bytes resident now."""
    return int(psutil.Process().memory_info().rss)


class PssSampler:
    """Samples the proportional set size (shared pages divided among their users) while its block runs.

    Reading it makes the kernel walk the page tables, so it belongs around a warm-up and not around what is timed.
    `peak` is in bytes, and None where the system has no such figure.
    """

    def __init__(self) -> None:
        self.peak: int | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        process = psutil.Process()
        while True:
            pss = getattr(process.memory_full_info(), "pss", 0)
            if not pss:
                return
            self.peak = max(self.peak or 0, int(pss))
            if self._done.wait(_INTERVAL):
                return

    def __enter__(self) -> PssSampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


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


def device_peaks(others: int | None) -> dict[str, int]:
    """Peaks on the current GPU, in bytes. `others`: what `device_in_use` gave before the start.

    The allocator keeps what it once took, so the driver's figure after the run is that of the peak.
    """
    peaks = {"allocator-peak": torch.cuda.max_memory_allocated()}
    if others is not None:
        free, total = torch.cuda.mem_get_info()
        peaks["device-process"] = total - free - others
    return peaks
