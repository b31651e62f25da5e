"""What a team claims in its package: shown beside what was found, and never ranked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from sqlalchemy.orm import Session

from edgelm.checkpoint import validate
from edgelm.errors import InputError
from edgelm.files import MAX_RECORD, parse_json
from edgelm.report import REPORT, Exact
from edgelm.rules.base import Rules
from edgelm.score.entries import THROUGHPUT, scored_tasks
from edgelm.server.entries import report_of
from edgelm.server.storage import Storage
from edgelm.server.tables import File, Submission
from edgelm.submission import MANIFEST, Manifest

Claims = dict[str, dict[str, Exact]]  # by slot and task: percent; throughput in tokens a second, unrounded


def claimed(session: Session, storage: Storage, rules: Rules, one: Submission, hidden: Collection[str] = ()) -> Claims:
    """The figures of the reports in a package, but for hidden tasks; models whose report cannot be read have none."""
    try:
        value = parse_json(storage.read(one.manifest, MAX_RECORD), MANIFEST)
        places = validate(Manifest, value, MANIFEST).models
    except InputError:
        return {}
    found = {slot: _figures(session, storage, one.id, PurePosixPath(place), set(scored_tasks(rules)) - set(hidden))
             for slot, place in places.items() if isinstance(place, str)}  # fmt: skip
    return {slot: figures for slot, figures in found.items() if figures}


def _figures(
    session: Session, storage: Storage, submission_id: str, place: PurePosixPath, tasks: set[str]
) -> dict[str, Exact]:
    file = session.get(File, (submission_id, str(place / "report" / REPORT)))
    try:
        report = report_of(storage, file.sha256) if file else None
    except InputError:
        return {}
    if report is None:
        return {}
    scores = {task: score.score for task, score in sorted(report.tasks.items()) if task in tasks}
    return scores | ({THROUGHPUT: report.speed.throughput} if report.speed else {})
