"""What the results file of a track is held against, from the rules, the checkpoints and the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgelm.data.pinned_rows import upstream_samples
from edgelm.report import Report
from edgelm.results.agreement import figures_of
from edgelm.results.base import Expected
from edgelm.rules import Rules
from edgelm.submission import COLUMNS


def expected(
    rules: Rules, slots: Iterable[str], *, sizes: Mapping[str, int] | None = None,
    reports: Mapping[str, Report] | None = None,
) -> Expected:  # fmt: skip
    """All that is known. `sizes` are the bytes of checkpoints by slot; reports of slots without one may be missing."""
    pinned = {task: protocol for task in COLUMNS if (protocol := rules.protocol(task))}
    return Expected(
        slots=tuple(slots),
        tasks=tuple(task for task in COLUMNS if task in rules.tasks),
        versions={task: protocol.rpartition("-")[2] for task, protocol in pinned.items()},
        samples=upstream_samples() if rules.suite == Rules.suite else {},
        sizes=sizes or {},
        limit=rules.memory_limit,
        reported={slot: figures_of(report, rules.memory_meter) for slot, report in (reports or {}).items()},
    )
