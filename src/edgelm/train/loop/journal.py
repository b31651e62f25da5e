"""The metrics of a run as JSON lines, and the polite way to end one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgelm.files import canonical_json, disk_errors


class Journal:
    """`metrics.jsonl`: one line an update, written at once.

    Args:
        path: the file.
        writes: whether this process is the one that writes.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self._file: Any = None

    @contextlib.contextmanager
    def after(self, step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """What appends a line; lines of later updates than `step`, which will be made again, are cut off first."""
        if not self.writes:
            yield lambda metrics: None
            return
        self._cut(step)
        with disk_errors(self.path), self.path.open("ab", buffering=0) as file:
            self._file = file

            def write(metrics: Mapping[str, Any]) -> None:
                line = memoryview(canonical_json(dict(metrics)) + b"\n")
                while line:  # a disk that fills up takes a part without complaint, and refuses the rest
                    line = line[file.write(line) :]

            try:
                yield write
            finally:
                self._file = None

    def sync(self) -> None:
        """Hand all lines to the disk, so that no state that is saved next can outlive them."""
        if self._file is not None:
            with disk_errors(self.path):
                os.fsync(self._file.fileno())

    def _cut(self, step: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        keep = 0
        for metrics, end in _lines(self.path):
            if metrics["step"] <= step:
                keep = end
        if self.path.exists():
            with disk_errors(self.path):
                os.truncate(self.path, keep)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `metrics.jsonl`; none if there is no file."""
    return [metrics for metrics, _ in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each whole line and the number of bytes up to its end; what a kill tore ends them."""
    if not path.is_file():
        return
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            try:
                metrics = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(metrics, dict) or "step" not in metrics:
                return
            yield metrics, end


@contextlib.contextmanager
def on_request(act: Callable[[], None]) -> Iterator[None]:
    """Do something instead of ending at once when the process is asked to end (SIGTERM, Ctrl-C); once: then it ends."""
    wanted = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():  # which alone is sent signals
        yield
        return
    before = [signal.getsignal(each) for each in wanted]

    def asked(number: int, _: object) -> None:
        signal.signal(number, before[wanted.index(signal.Signals(number))])
        act()

    for each in wanted:
        signal.signal(each, asked)
    try:
        yield
    finally:
        for each, handler in zip(wanted, before, strict=True):
            signal.signal(each, handler)
