"""Which scores of a report are the competition's own: upstream's rows, every one of them, by OpenCompass's protocol."""

from __future__ import annotations

from edgelm.data.folder import UPSTREAM
from edgelm.report import Report, TaskScore


def official(report: Report, task: str) -> TaskScore | None:
    """The task's score if it is complete and of the official protocol."""
    score = report.tasks.get(task)
    return score if score and score.complete and is_official(score) else None


def is_official(score: TaskScore) -> bool:
    """Whether a score was made by the official protocol, complete or not; what its name adds behind a `+` is not."""
    return score.protocol.startswith(f"{UPSTREAM}/") and "+" not in score.protocol
