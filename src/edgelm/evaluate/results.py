"""`results.csv`: one row of a checkpoint's figures under the starting kit's column names, of official scores alone.

Throughput is this project's tokens a second on the fixed workload, as in a packed submission: the kit's inferences a
second time the launch of a forward pass, which no report holds. Memory is the largest reading of all meters.
"""

from __future__ import annotations

import csv
import io

from edgelm.data.folder import UPSTREAM
from edgelm.kit import cells
from edgelm.report import Report
from edgelm.submission import COLUMNS, MEMORY, THROUGHPUT


def results_csv(report: Report) -> str:
    """The table: the header and one row."""
    row = cells(report, UPSTREAM, max(report.memory.values(), default=None))
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([[*COLUMNS.values(), THROUGHPUT, MEMORY], row])
    return sink.getvalue()
