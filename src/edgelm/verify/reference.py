"""M-07: scores held against the uncompressed base's. To lose less than nothing by compression needs an explanation."""

from __future__ import annotations

from pathlib import Path

from edgelm.errors import MissingInput
from edgelm.evaluate.compare import Difference, compare
from edgelm.evaluate.intervals import Z
from edgelm.report import Report
from edgelm.verify.result import Result

ERRORS = 3.0  # standard errors above the base, beyond which a person looks


def above_reference(reference: Path, scored: Path) -> Result:
    """Valid if no score is 3 standard errors above the base's; else doubtful, which is for a person to look at.

    The error is that of the paired difference: both answered the same questions, whose difficulty drops out.

    Args:
        reference: report folder of the uncompressed base.
        scored: report folder of the submission's model, marked by us.

    Raises:
        MissingInput: the two have no task by the same protocol.
        BadFile: a report is damaged.
    """
    base, own = Report.load(reference).tasks, Report.load(scored).tasks
    tasks = [task for task in own if task in base and base[task].protocol == own[task].protocol]
    if not tasks:
        raise MissingInput(f"the reference {reference} has no task by the same protocol as {scored.name}",
                           mend="evaluate the base with the same --data")  # fmt: skip
    found = compare(reference, scored, tasks)
    above = [each.task for each in found if each.difference > ERRORS * _error(each)]
    what = f"{len(above)} of {len(found)} scores are {ERRORS:.0f} standard errors above the base's"
    evidence = {each.task: {"above_points": each.difference, "standard_error": _error(each)} for each in found}
    return Result("M-07", "scores beside the base's", "doubtful" if above else "valid",
                  f"{what}: {', '.join(above)}" if above else what, evidence)  # fmt: skip


def _error(each: Difference) -> float:
    """The standard error of a difference, in points, from the side of its interval that no border cuts."""
    return max(each.interval.high - each.difference, each.difference - each.interval.low) / Z
