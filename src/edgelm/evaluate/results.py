"""`results.csv`: one row of a checkpoint's figures under the starting kit's column names.

Scores in percent, TruthfulQA as the fraction that OpenCompass prints. What was not measured completely by the official
protocol stays empty, never 0. Throughput is this project's tokens a second on the fixed workload, as in a packed
submission: the kit's inferences a second time the launch of a forward pass, which no report holds. Memory is in MiB,
the largest reading of all meters.
"""

from __future__ import annotations

import csv
import io

from edgelm.evaluate.official import official
from edgelm.report import Report
from edgelm.submission import COLUMNS, MEMORY, THROUGHPUT

MIB = 2**20


def results_csv(report: Report) -> str:
    """The table: the header and one row."""
    cells = [_score(report, task) for task in COLUMNS]
    cells.append(f"{float(report.speed.throughput):.2f}" if report.speed else "")
    cells.append(f"{max(report.memory.values()) / MIB:.2f}" if report.memory else "")
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([[*COLUMNS.values(), THROUGHPUT, MEMORY], cells])
    return sink.getvalue()


def _score(report: Report, task: str) -> str:
    score = official(report, task)
    if score is None:
        return ""
    if task == "truthfulqa":
        return f"{float(score.figures.get('bleu_acc', score.score / 100)):.4f}"
    return f"{float(score.score):.2f}"
