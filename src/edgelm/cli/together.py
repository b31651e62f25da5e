"""The same command in several processes of this machine that train together, as `torchrun` would start them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO

GRACE = 10.0  # seconds that the others have to say what is wrong after one has failed


def started() -> bool:
    """Whether this process is one of several, whoever started them."""
    return "RANK" in os.environ


def run_together(processes: int, arguments: Sequence[str]) -> int:
    """Run `edgelm` with these arguments in so many processes: 0, or the exit code of one that failed.

    The first process alone is heard; another only if it failed and the first did not: what the others say of a failure
    of the first is that they lost it. A request to end is passed on to all.
    """
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(processes - 1)]
        said: list[IO[bytes] | None] = [None, *others]
        children = [
            subprocess.Popen([sys.executable, "-m", "edgelm", *arguments], env=dict(environment), stderr=heard,
                             start_new_session=True)
            for environment, heard in zip(_environments(processes), said, strict=True)
        ]  # fmt: skip
        before = {each: signal.signal(each, lambda number, _: _pass_on(children, number))
                  for each in (signal.SIGTERM, signal.SIGINT)}  # fmt: skip
        try:
            codes = _wait(children)
        finally:
            for child in children:
                child.kill()
                child.wait()
            for each, handler in before.items():
                signal.signal(each, handler)
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if failed is None:
            return 0
        if (heard := said[failed]) is not None:
            heard.seek(0)
            shutil.copyfileobj(heard, sys.stderr.buffer)
        code = codes[failed] or 0
        return code if code > 0 else 128 - code  # as a shell counts signals


def _pass_on(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """The exit codes when all have ended, or some time after one has failed: None for those that are still at work."""
    last = float("inf")
    while True:
        codes = [child.poll() for child in children]
        if None not in codes or time.monotonic() >= last:
            return codes
        if any(codes):
            last = min(last, time.monotonic() + GRACE)
        time.sleep(0.05)


def _environments(processes: int) -> list[Mapping[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    common = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        {**os.environ, **common, "OMP_NUM_THREADS": threads, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        for rank in range(processes)
    ]
