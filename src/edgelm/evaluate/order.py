"""The order in which tasks are shown: the benchmarks as the competition lists them, each before its variants."""

from __future__ import annotations

from collections.abc import Iterable

from edgelm.evaluate.benchmarks import TASKS


def in_order(tasks: Iterable[str]) -> list[str]:
    """The benchmarks, each variant right below its own (`gsm8k-fixed` below `gsm8k`), then all others by name."""
    return sorted(tasks, key=_place)


def _place(task: str) -> tuple[int, bool, str]:
    benchmark = next((name for name in TASKS if task == name or task.startswith(f"{name}-")), None)
    return TASKS.index(benchmark) if benchmark else len(TASKS), task != benchmark, task
