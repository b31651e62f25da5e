"""Memory meters of a process on this machine: `host-peak` (VmHWM), `host-pss` and `host-cgroup`, sampled."""

from __future__ import annotations

import os
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

try:
    import psutil
except ImportError:
    from edgelm.errors import MissingPackage

    raise MissingPackage("psutil", "model") from None

_INTERVAL = 0.05  # seconds between two samples
_KEPT = 240  # samples that a report keeps
_CGROUP = Path("/sys/fs/cgroup")


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


def cgroup_figure(name: str) -> int | None:
    """A figure of this process's control group, such as `memory.current`, in bytes; None where there is none."""
    try:
        own = next(line.rpartition(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines()
                   if line.startswith("0::"))  # fmt: skip
        text = (_CGROUP / own.lstrip("/") / name).read_text().strip()
        return int(text) if text.isdigit() else None
    except (OSError, StopIteration):
        return None


class Sampler:
    """Samples the memory of a process and all that it started, while its block runs or until `stop`.

    The proportional set size divides shared pages among their users; reading it makes the kernel walk the page tables,
    so it belongs around loading and warming up and not around what is timed. What the control group takes counts
    the file cache as well, and whatever else runs in it: it is given as what was added since the start.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.samples: list[tuple[int, int]] = []  # nanoseconds since the start, bytes
        self.group: int | None = None  # most bytes that the control group took more than at the start
        self._pid = pid or os.getpid()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def peak(self) -> int | None:
        """Most bytes by the proportional set size; None where the system has no such figure."""
        return max((taken for _, taken in self.samples), default=None)

    @property
    def peaks(self) -> dict[str, int]:
        """The peaks that could be read, by meter."""
        found = {"host-pss": self.peak, "host-cgroup": self.group}
        return {meter: peak for meter, peak in found.items() if peak}

    @property
    def kept(self) -> list[tuple[int, int]]:
        """So many samples as a report keeps: of each stretch the highest."""
        if len(self.samples) <= _KEPT:
            return list(self.samples)
        bounds = [number * len(self.samples) // _KEPT for number in range(_KEPT + 1)]
        return [max(self.samples[start:end], key=lambda sample: sample[1])
                for start, end in pairwise(bounds)]  # fmt: skip

    def stop(self) -> None:
        """Take no more samples."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        start, before = time.monotonic_ns(), cgroup_figure("memory.current")
        while True:
            taken = _tree_pss(self._pid)
            if not taken:
                return
            self.samples.append((time.monotonic_ns() - start, taken))
            now = cgroup_figure("memory.current")
            if now is not None and before is not None:
                self.group = max(self.group or 0, now - before)
            if self._done.wait(_INTERVAL):
                return

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _tree_pss(pid: int) -> int:
    """The proportional set size of a process and its children; 0 if the system does not say, or it has ended."""
    total = 0
    try:
        first = psutil.Process(pid)
        processes = [first, *first.children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            total += int(getattr(process.memory_full_info(), "pss", 0))
        except psutil.Error:  # it has ended meanwhile, or is another's
            continue
    return total
