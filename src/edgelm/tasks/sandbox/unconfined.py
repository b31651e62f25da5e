"""No sandbox: programs run with the rights of the user, under limits and a time limit alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgelm.tasks.sandbox import packages
from edgelm.tasks.sandbox.base import Limits, Running, interpreter_words, pipe


@dataclass(frozen=True)
class Unconfined:
    """For machines on which no sandbox can be had and for programs that are trusted."""

    limits: Limits

    def conditions(self) -> dict[str, Any]:
        """That there was no sandbox."""
        return {
            "sandbox": "NONE: programs ran with all rights of the user",
            "python": sys.version.split()[0], "packages": packages.importable(packages.version()),
            "seconds": self.limits.seconds, "memory": self.limits.memory,
        }  # fmt: skip

    @contextlib.contextmanager
    def start(self, orders: dict[str, Any]) -> Iterator[Running]:
        """Start `inside.py` in a folder of its own; the block's end kills what did not leave its process group."""
        own = packages.folders()
        with pipe() as (tells, telling), tempfile.TemporaryDirectory(prefix="edgelm-") as folder:
            process = subprocess.Popen(
                interpreter_words(
                    sys.executable, orders, self.limits, telling.fileno(), str(own[0].parent) if own else None
                ),
                bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                cwd=folder, env={}, pass_fds=[telling.fileno()], start_new_session=True,
            )  # fmt: skip
            with process:
                telling.close()
                try:
                    yield Running(process, tells.fileno())
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
