"""Scores above the uncompressed base's: to lose less than nothing by compression needs an explanation. M-07.

Bases are the reports that the setting `reference` names, by slot; without one nothing is flagged. Hold-outs are left
aside: a flag is seen before their figures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import select

from edgelm.check.base import Finding as Found
from edgelm.report import Report
from edgelm.rules.base import HOLDOUT
from edgelm.score.exact import decimals
from edgelm.server import entries
from edgelm.server.entries import Reading
from edgelm.server.flags import flag
from edgelm.server.state import Server
from edgelm.server.tables import Finding, Submission

ABOVE = "M-07"
ERRORS = 3  # standard errors of the submission's score
_WHY = f"a score is at most {ERRORS} standard errors above that of the uncompressed base"
_MEND = "explain what makes the model better than its base"


def compare(server: Server) -> None:
    """Flag, once for each score, what was evaluated and is above its base."""
    bases = {slot: Report.load(path) for slot, path in server.settings.reference.items()}
    if not bases:
        return
    with server.database.read() as session:
        known = {(row.submission_id, row.body["what"]) for row in session.scalars(select(Finding))}
        found = [(one.submission, each) for one in entries.counted(session) if one.reached
                 for each in above(entries.reading(server.storage, one.reached), bases)
                 if (one.submission, each.what) not in known]  # fmt: skip
    if found:
        with server.database.write() as session:
            for one, each in found:
                flag(session, session.get_one(Submission, one), each, each.what, server.clock())


def above(reading: Reading, bases: Mapping[str, Report]) -> Iterator[Found]:
    """The scores of public tasks that are above the base's, each held to the one by the same protocol."""
    for slot, model in sorted(reading.models.items()):
        for task, base in sorted(bases[slot].tasks.items()) if slot in bases else ():
            score, marks = model.scores.get(task), model.marks.get(task)
            if task == HOLDOUT or score is None or marks is None or model.protocols.get(task) != base.protocol:
                continue
            higher = score - base.score
            if higher > 0 and higher**2 > ERRORS**2 * reading.variances[marks]:
                what = f"{slot}/{task}: {decimals(score)} % is more than {ERRORS} standard errors above the base's"
                evidence = {"score": decimals(score), "base": decimals(base.score)}
                yield Found(ABOVE, "R", "", f"{what} {decimals(base.score)} %", _WHY, _MEND, evidence)
