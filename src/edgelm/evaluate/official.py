"""Which scores of a report are the competition's own: upstream's rows, every one of them, by OpenCompass's protocol."""

from __future__ import annotations

from edgelm.data.folder import UPSTREAM
from edgelm.kit import is_of, whole
from edgelm.report import Report, TaskScore


def official(report: Report, task: str) -> TaskScore | None:
    """The task's score if it is complete and of the official protocol."""
    return whole(report, task, UPSTREAM)


def is_official(score: TaskScore) -> bool:
    """Whether a score was made by the official protocol, complete or not."""
    return is_of(score, UPSTREAM)
