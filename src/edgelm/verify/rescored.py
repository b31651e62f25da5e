"""What comes of rescoring a submission: for each task the claim, what the answers give, and whether they are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from edgelm import __version__
from edgelm.report import Answer, Report, TaskScore
from edgelm.results.base import Figure

NAMED = 5  # samples of a kind that are named
Status = Literal["equal", "different", "unusable", "left"]  # left: none of the rules' tasks, and not known here


@dataclass(frozen=True)
class Rescored:
    """One task of one model: what is claimed, and what the answers give. Scores in percent, exact."""

    slot: str
    task: str  # empty where the whole report cannot be used
    status: Status
    claimed: TaskScore | None = None  # by report.json
    figure: Figure | None = None  # of results.csv
    score: TaskScore | None = None
    answers: tuple[Answer, ...] = ()
    differing: tuple[str, ...] = ()  # samples whose mark is another than claimed
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> Fraction | None:
        """Recomputed less claimed, in percent points."""
        return self.score.score - self.claimed.score if self.score and self.claimed else None

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON object; scores as exact fractions."""
        made, claimed = self.score, self.claimed
        return {
            "slot": self.slot, "task": self.task, "status": self.status,
            "results_csv": _text(self.figure.canonical if self.figure else None),
            "claimed": _text(claimed.score if claimed else None),
            "claimed_samples": claimed.samples if claimed else None,
            "recomputed": _text(made.score if made else None), "samples": made.samples if made else None,
            "of": made.of if made else None, "difference": _text(self.difference),
            "differing": len(self.differing), "differing_samples": list(self.differing[:NAMED]),
            "protocol": made.protocol if made else None, "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True)
class Rescoring:
    """What came of a submission: its digest, a row a task, and a new report a slot."""

    submission: str
    rows: tuple[Rescored, ...]
    reports: dict[str, Report] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """Different if any task is, else unusable if any of the rules' tasks is."""
        found = {row.status for row in self.rows}
        order: Sequence[Status] = ("different", "unusable", "equal")
        return next((status for status in order if status in found), "unusable")

    def as_json(self) -> dict[str, Any]:
        """The whole as a JSON object."""
        return {"format": 1, "submission": self.submission, "status": self.status, "made_by": f"edgelm {__version__}",
                "rows": [row.as_json() for row in self.rows]}  # fmt: skip


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)
