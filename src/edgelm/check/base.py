"""What the checker says: findings, each with its code, and how codes become findings."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel

from edgelm.check.codes import CODES

Severity = Literal["E", "R", "W", "I"]
ORDER: tuple[Severity, ...] = ("E", "R", "W", "I")  # refused; a reviewer decides; told; information
MOST_FINDINGS = 100  # of one code and severity
LONGEST = 500  # characters of what a finding says: names in a stranger's file may be of any length


@dataclass(frozen=True)
class Finding:
    """One thing found: where, what, the rule behind it, and how to mend it."""

    code: str
    severity: Severity
    path: str  # relative to the package; empty for the whole of it
    what: str
    why: str
    mend: str
    evidence: dict[str, Any] = field(default_factory=dict, compare=False)  # for a reviewer: figures, names

    @property
    def key(self) -> tuple[int, str, str, str]:
        """Findings are listed by severity, then code, then place."""
        return ORDER.index(self.severity), self.code, self.path, self.what

    def as_json(self) -> dict[str, Any]:
        """The finding as a JSON object; evidence only if there is some."""
        found = asdict(self)
        return found if found["evidence"] else {key: value for key, value in found.items() if key != "evidence"}


Findings = Iterator[Finding]


@dataclass(frozen=True)
class Check:
    """One thing looked at. `code` is what an unreadable file met on the way is reported as."""

    code: str
    look: Callable[[Any], Findings]


def finding(
    code: str, path: str, what: str, *, mend: str = "", severity: Severity | None = None,
    evidence: dict[str, Any] | None = None,
) -> Finding:  # fmt: skip
    """A finding with the rule, the severity and the mend of its code, unless this case has its own."""
    known = CODES[code]
    what = what if len(what) <= LONGEST else f"{what[:LONGEST]}…"
    severity = severity or known.severity
    return Finding(code, severity, path, what, known.condition, mend or known.mend, evidence or {})


def unknown_keys(path: str, *records: BaseModel, known: Container[str] = ()) -> Findings:
    """PKG-04, as a warning: keys of a JSON file's records that nothing reads, but for the `known`."""
    for name in dict.fromkeys(name for record in records for name in record.model_extra or ()):
        if name not in known:
            yield finding("PKG-04", path, f"unknown key '{name}'", severity="W", mend="remove the key")


def limited(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, gravest first, of each code and severity the first `MOST_FINDINGS` and how many more there are."""
    same: dict[tuple[str, Severity], list[Finding]] = {}
    for found in sorted(findings, key=lambda found: found.key):
        same.setdefault((found.code, found.severity), []).append(found)
    shown: list[Finding] = []
    for each in same.values():
        shown += each[:MOST_FINDINGS]
        if left := each[MOST_FINDINGS:]:
            shown.append(replace(left[0], what=f"and {len(left):,} more such findings", evidence={}))
    return shown


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The gravest severity found; None if nothing was."""
    return min((found.severity for found in findings), key=ORDER.index, default=None)


def some(names: Iterable[str], most: int = 5) -> str:
    """The first few of some names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
