"""Putting a submission or a whole team out of competition: typed, with evidence, signed by two. Rule R3.5.

What the measurements alone decide (`entries.ineligibility`) needs no such record. A record only adds a reason to the
entries that it concerns: taking it back gives the standings as if it had never been made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from edgelm.errors import UnknownName
from edgelm.score.entries import Entry, Record
from edgelm.score.signers import Signatures

OfSubmission = Literal["memory", "quantised", "dtype", "track", "training-data", "digest", "sandbox"]
OfTeam = Literal["team-size", "member-of-two-teams", "organiser-as-member", "copying", "licence"]
OF_SUBMISSION: tuple[OfSubmission, ...] = (
    "memory", "quantised", "dtype", "track", "training-data", "digest", "sandbox",
)  # fmt: skip


class Disqualification(Record):
    """Why one submission, or with a reason against the team all of its submissions, is out of competition."""

    team: str
    submission: str = ""  # empty: all of the team's
    reason: OfSubmission | OfTeam
    evidence: str = Field(min_length=1)
    signatures: Signatures

    @model_validator(mode="after")
    def _concerns_what_its_reason_does(self) -> Disqualification:
        if (self.reason in OF_SUBMISSION) != bool(self.submission):
            concerned = "one submission, which must be named" if self.reason in OF_SUBMISSION else "the whole team"
            raise ValueError(f"the reason '{self.reason}' concerns {concerned}")
        return self

    @property
    def said(self) -> str:
        """What an entry that it concerns has among its reasons."""
        return f"{self.reason}: {self.evidence} (signed {' and '.join(self.signatures)})"

    def concerns(self, entry: Entry) -> bool:
        """Whether the entry is out by this."""
        return entry.team == self.team and self.submission in ("", entry.submission)


def disqualified(entries: Iterable[Entry], decisions: Iterable[Disqualification]) -> list[Entry]:
    """The entries, with a further reason for each decision that concerns them."""
    decisions = list(decisions)
    return [_with_reasons(entry, [each for each in decisions if each.concerns(entry)]) for entry in entries]


def require_concerned(entries: Iterable[Entry], decisions: Iterable[Disqualification]) -> None:
    """Make sure that no decision is about something that was never received.

    Raises:
        UnknownName: one is.
    """
    entries = list(entries)
    for each in decisions:
        if not any(map(each.concerns, entries)):
            known = [f"{entry.team} {entry.submission}" for entry in entries]
            raise UnknownName("submission", f"{each.team} {each.submission}".strip(), known)


def _with_reasons(entry: Entry, decisions: list[Disqualification]) -> Entry:
    return entry.model_copy(update={"reasons": (*entry.reasons, *(each.said for each in decisions))})
