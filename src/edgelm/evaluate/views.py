"""The views of a finished report: `results.csv`, `summary.csv` and `index.html`, made anew from what it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgelm.errors import MissingPackage
from edgelm.evaluate.form import in_form
from edgelm.evaluate.page import report_page
from edgelm.evaluate.results import results_csv
from edgelm.evaluate.summary import summary_csv
from edgelm.evaluate.times import RUNS
from edgelm.files import JsonLog, write_bytes
from edgelm.report import Report, read_answers
from edgelm.tasks.base import Sample, Task

RESULTS, SUMMARY, PAGE = "results.csv", "summary.csv", "index.html"


def write_views(
    folder: Path, samples: Mapping[str, Sequence[Sample]] | None = None, asked: Iterable[Task] = ()
) -> list[str]:
    """Write the views of a report folder; what is returned are notes for the person, such as a missing package.

    Args:
        folder: a finished report.
        samples: questions and references to show beside the answers, by task. Leave hold-outs out: what is given here
            stands in the page.
        asked: tasks among them that are no benchmarks, or parts of one.

    Raises:
        MissingInput, BadFile: there is no finished report, or it is damaged.
    """
    report = Report.load(folder)
    write_bytes(folder / RESULTS, results_csv(report).encode())
    write_bytes(folder / SUMMARY, summary_csv(report).encode())
    answers = {task: read_answers(folder, task) for task in report.tasks}
    seconds, loading = _recorded(folder)
    formed = in_form(answers, samples or {}, asked)
    try:
        page = report_page(report, answers, samples=samples or {}, formed=formed, seconds=seconds, loading=loading)
    except MissingPackage as error:
        return [f"no page was written: {error.what} ({error.mend})"]
    write_bytes(folder / PAGE, page.encode())
    return []


def _recorded(folder: Path) -> tuple[dict[str, float], float]:
    """The seconds that each task took in all runs on record, and those of loading."""
    runs = JsonLog(folder / RUNS).read(repair=False)
    took: dict[str, float] = defaultdict(float)
    for run in runs:
        for task, seconds in run["seconds"].items():
            took[task] += seconds
    return took, sum(run["loading_seconds"] for run in runs)
