"""When a phase is open: instants written with a zone or as a day "anywhere on Earth", and what arrives in time.

Dates stand in one table, from which every page renders. The time of a submission is when its finalise call was
received; a phase is half open, so that what arrives at the very instant of its close is late. Rule R1 of the rule set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from edgelm.errors import BadOption, UnknownName

AOE = timezone(timedelta(hours=-12), "AoE")  # a day is over when it is over everywhere
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2}) AoE", re.ASCII)
_SHOWN = re.compile(r"(\d{4}-\d{2}-\d{2} \d{2}:\d{2}) (UTC|AoE)", re.ASCII)  # as `shown` writes either clock
_MINUTES = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class Phase:
    """One span of a competition: from `opens` on, and before `closes`, both in UTC."""

    name: str
    opens: datetime
    closes: datetime

    def counts(self, received: datetime) -> bool:
        """Whether what the server received then belongs to the phase, whenever it is evaluated."""
        return self.opens <= received < self.closes


def instant(text: str, *, end: bool = False) -> datetime:
    """The instant that a text names, in UTC: "2024-10-26T11:59:59Z" with any offset, or a day "2024-10-25 AoE".

    It is also read as `shown` writes it: "2024-10-26 12:00 UTC", "2024-10-26 00:00 AoE".

    Args:
        text: what stands in the table.
        end: whether a day means its end rather than its beginning, as it does for a close.

    Raises:
        BadOption: it is neither; a time without a zone is no instant.
    """
    day, written = _DAY.fullmatch(text), _SHOWN.fullmatch(text)
    try:
        if day:
            midnight = datetime.combine(date.fromisoformat(day[1]), datetime.min.time(), AOE)
            return (midnight + timedelta(days=end)).astimezone(UTC)
        if written:
            clock = UTC if written[2] == "UTC" else AOE
            return datetime.fromisoformat(written[1]).replace(tzinfo=clock).astimezone(UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    mend = "write a day as 2024-10-25 AoE, or a time with its zone as 2024-10-26 12:00 UTC"
    raise BadOption(f"'{text}' is no instant", mend=mend)


def shown(moment: datetime) -> str:
    """An instant for people, in both clocks: "2024-10-26 12:00 UTC (2024-10-26 00:00 AoE)"."""
    return f"{moment.astimezone(UTC):{_MINUTES}} UTC ({moment.astimezone(AOE):{_MINUTES}} AoE)"


def phase_table(written: Mapping[str, tuple[str, str]]) -> tuple[Phase, ...]:
    """The phases of a competition, from the texts of when each opens and closes; by when they open.

    Raises:
        BadOption: a text is no instant, or a phase closes before it opens.
    """
    phases = [Phase(name, instant(opens), instant(closes, end=True)) for name, (opens, closes) in written.items()]
    for phase in phases:
        if phase.closes <= phase.opens:
            raise BadOption(f"phase '{phase.name}' closes before it opens", mend="give its later instant second")
    return tuple(sorted(phases, key=lambda phase: (phase.opens, phase.name)))


def phase_named(phases: tuple[Phase, ...], name: str) -> Phase:
    """The phase of that name.

    Raises:
        UnknownName: the table has none.
    """
    for phase in phases:
        if phase.name == name:
            return phase
    raise UnknownName("phase", name, [phase.name for phase in phases])
