"""`summary.csv`: the scores in the form of OpenCompass 0.3.1's own summary, row for row.

First the data sets, then the groups, whose scores are means of their parts. A score that is not complete shows as
missing (`-`), and a group with a missing part is left out. Scores over other rows than upstream's follow at the end
under their suite's name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from fractions import Fraction

from edgelm.evaluate.official import is_official, official
from edgelm.evaluate.opencompass_names import DATA_SETS, GROUPS, METRICS, PARTS
from edgelm.report import Report

Line = tuple[str, str, str, str, str]  # dataset, version, metric, mode, value
MISSING = "-"


def summary_csv(report: Report) -> str:
    """The table; its last column is named as OpenCompass names a Hugging Face folder."""
    sink = io.StringIO()
    rows = csv.writer(sink, lineterminator="\n")
    rows.writerow(["dataset", "version", "metric", "mode", f"{report.name}_hf"])
    for task in DATA_SETS:
        if task in report.tasks and is_official(report.tasks[task]):
            rows.writerows(_data_sets(report, task))
    for task in PARTS:
        rows.writerows(_groups(report, task))
    rows.writerows(_others(report))
    return sink.getvalue()


def _data_sets(report: Report, task: str) -> Iterator[Line]:
    """The lines of a task: one for each of its parts, or for each of its metrics."""
    score = official(report, task)
    name, version = DATA_SETS[task]
    if task in PARTS:
        for part, own_version in PARTS[task].items():
            own = score.subsets.get(part) if score else None
            yield _line(name + part, own_version, METRICS[task][0], own.score if own else None)
    elif score is None:
        yield _line(name, version, METRICS[task][0], None)
    else:
        values = {**dict.fromkeys(METRICS[task], score.score), **score.figures}
        for metric in METRICS[task]:
            yield _line(name, version, metric, values[metric])


def _groups(report: Report, task: str) -> Iterator[Line]:
    """The means over parts, and over groups of parts, as far as every part is there."""
    score = official(report, task)
    means: dict[str, Fraction] = {part: own.score for part, own in score.subsets.items()} if score else {}
    for name, parts in GROUPS[task].items():
        if all(part in means for part in parts):
            means[name] = sum((means[part] for part in parts), Fraction(0)) / len(parts)
            yield _line(name, MISSING, "naive_average", means[name])


def _others(report: Report) -> Iterator[Line]:
    """Complete scores that OpenCompass's names do not cover: other rows, other scorers, hold-outs."""
    for task, score in report.tasks.items():
        suite, _, version = score.protocol.partition("/")
        if score.complete and not (task in DATA_SETS and is_official(score)):
            yield _line(f"{suite}/{task}", version, "score", score.score)


def _line(name: str, version: str, metric: str, value: Fraction | None) -> Line:
    """One line; of a missing score OpenCompass writes the name alone."""
    if value is None:
        return name, MISSING, MISSING, MISSING, MISSING
    return name, version, metric, "gen", f"{float(value):.02f}"
