"""Two scorers for one benchmark: the official one, and a fair one under a name of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelm.report import FULL_MARK
from edgelm.tasks.base import Benchmark, Sample


@dataclass(frozen=True)
class TwoScorers(Benchmark):
    """A benchmark whose answers are right or wrong, officially or to a fair reader.

    Both are asked alike, so that answers are kept once. `FAIR` is counted up when the fair scorer changes.

    Attributes:
        scorer: `official` marks as OpenCompass does, whatever is unfair about it; `fixed` as a fair reader would.
    """

    scorer: Literal["official", "fixed"] = "official"

    FAIR = 1

    @property
    def name(self) -> str:
        """What the task is called with its official scorer."""
        raise NotImplementedError

    @property
    def official(self) -> str:
        """The official name of prompt and scorer together."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The task's name, by the fixed scorer with `-fixed` behind it."""
        return self.name if self.scorer == "official" else f"{self.name}-fixed"

    @property
    def version(self) -> str:
        """The official name, by the fixed scorer with that scorer's own behind it."""
        return self.official if self.scorer == "official" else f"{self.official}+fixed-{self.FAIR}"

    def score(self, sample: Sample, answer: str) -> int:
        """All or nothing, by the scorer chosen."""
        right = self.right if self.scorer == "official" else self.fairly_right
        return FULL_MARK if right(sample, answer) else 0

    def in_form(self, sample: Sample, answer: str) -> bool | None:
        """Whether the official scorer finds something that could be right; a fair reader asks for no form."""
        return self.readable(sample, answer) if self.scorer == "official" else None

    def readable(self, sample: Sample, answer: str) -> bool | None:
        """Whether what the official scorer takes out of an answer is one of the possible answers; None if all are."""
        return None

    def right(self, sample: Sample, answer: str) -> bool:
        """Whether the official scorer takes an answer for right."""
        raise NotImplementedError

    def fairly_right(self, sample: Sample, answer: str) -> bool:
        """Whether a fair reader does."""
        raise NotImplementedError
