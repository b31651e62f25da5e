"""What one test of a verification says: valid, not tested, doubtful or invalid, and the evidence for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["valid", "not tested", "doubtful", "invalid"]
ORDER: tuple[Verdict, ...] = ("invalid", "doubtful", "not tested", "valid")  # gravest first


@dataclass(frozen=True)
class Result:
    """One test: its code, what it tests, how it ended in one sentence, and the figures behind it."""

    code: str
    tests: str
    verdict: Verdict
    what: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return asdict(self)


def gravest(results: Iterable[Result]) -> Verdict:
    """The gravest verdict; valid if there is none."""
    return min((result.verdict for result in results), key=ORDER.index, default="valid")
