"""A report's figures as the starting kit's table has them, for `evaluate`.

Scores in percent, TruthfulQA as the fraction that OpenCompass prints; tokens a second; MiB. What was not measured
completely by the protocol that counts stays empty, never 0.
"""

from __future__ import annotations

from fractions import Fraction

from edgelm.report import Report, TaskScore
from edgelm.submission import COLUMNS

MIB = 2**20


def whole(report: Report, task: str, suite: str) -> TaskScore | None:
    """The task's score if it is complete and of the suite's own protocol."""
    score = report.tasks.get(task)
    return score if score and score.complete and is_of(score, suite) else None


def is_of(score: TaskScore, suite: str) -> bool:
    """Whether a suite's protocol made a score, complete or not; what its name adds behind a `+` is not the suite's."""
    return score.protocol.startswith(f"{suite}/") and "+" not in score.protocol


def figure(task: str, score: TaskScore) -> Fraction:
    """A score in the unit of its column."""
    return score.figures.get("bleu_acc", score.score / 100) if task == "truthfulqa" else score.score


def cells(report: Report | None, suite: str, peak: int | None) -> list[str]:
    """A row below the columns of scores, throughput and memory; `peak` is in bytes."""
    found = []
    for task in COLUMNS:
        score = whole(report, task, suite) if report else None
        found.append("" if score is None else _written(figure(task, score), 4 if task == "truthfulqa" else 2))
    found.append(_written(report.speed.throughput) if report and report.speed else "")
    found.append("" if peak is None else _written(Fraction(peak, MIB)))
    return found


def _written(value: Fraction, decimals: int = 2) -> str:
    """So many decimals, rounded from the exact value."""
    return f"{float(round(value, decimals)):.{decimals}f}"
