"""What a submission's own results file says of its scores: a claim, read with all tolerance and never ranked."""

from __future__ import annotations

from collections.abc import Mapping

from edgelm.errors import InputError
from edgelm.results.base import TASKS, Figure
from edgelm.results.decode import LARGEST
from edgelm.results.held import expected
from edgelm.results.read import read
from edgelm.rules import Rules
from edgelm.submission import Submission


def claimed_scores(submission: Submission, rules: Rules) -> Mapping[str, Mapping[str, Figure]]:
    """The figures of the results file in percent, by slot and task; none if it is not there or cannot be read."""
    name = submission.manifest.claims
    try:
        claims = read(submission.read(name, LARGEST), name, expected(rules, submission.slots))
    except InputError:
        return {}
    return {
        slot: {TASKS[column]: figure for column, figure in row.items() if column in TASKS}
        for slot, row in claims.values.items()
    }
