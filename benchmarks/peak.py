"""Time and memory of a command, for benchmarks of whole programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

# Started from a small process: the system counts to a program's peak what the one had that started it.
_SMALL = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([time.perf_counter() - began, peak, done.returncode, done.stderr[-5000:]]))
"""


class Ended(NamedTuple):
    """What a command took."""

    seconds: float
    peak: int  # bytes that were resident at the most


def run(words: Sequence[str], good: Sequence[int] = (0,)) -> Ended:
    """Run a command whose output is not wanted.

    Args:
        words: the command.
        good: its exit codes that are no failure.

    Raises:
        SystemExit: another exit code, with what it said.
    """
    small = subprocess.run([sys.executable, "-c", _SMALL, *words], stdout=subprocess.PIPE, check=True)
    seconds, peak, code, said = json.loads(small.stdout)
    if code not in good:
        raise SystemExit(f"{' '.join(words)}\nended with {code}\n{said}")
    return Ended(seconds, peak)
