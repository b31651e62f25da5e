"""Programs that answers are made of, run where the person chose: each passes if it runs to its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from edgelm.tasks.base import Benchmark, Row
from edgelm.tasks.sandbox.base import Limits, Sandbox
from edgelm.tasks.sandbox.bubblewrap import bubblewrap
from edgelm.tasks.sandbox.unconfined import Unconfined

Confinement = Literal["bubblewrap", "none"]


def place(confinement: Confinement, limits: Limits) -> Sandbox:
    """Where programs run; without a sandbox only if `none` says so.

    Raises:
        Unsupported: the sandbox cannot be had here.
    """
    return bubblewrap(limits) if confinement == "bubblewrap" else Unconfined(limits)


def marks(task: Benchmark, rows: Sequence[Row]) -> list[int]:
    """The mark of each answer; as many programs run at once as there are processors.

    Raises:
        Unsupported: the sandbox cannot be had here, or did not start.
    """
    task.conditions()  # tries the sandbox by one thread, before all want it
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda row: task.score(*row), rows))
