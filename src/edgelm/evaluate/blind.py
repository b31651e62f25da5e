"""What answers earn that do not look at the question: drawn by chance, or the best one that is always the same.

Percent, over all of upstream's rows. A score is a sign of skill only above the best constant answer by two standard
errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.evaluate.official import is_official
from edgelm.report import TaskScore


@dataclass(frozen=True)
class Blind:
    """What a benchmark gives without a look at its questions; `error` is the constant answer's standard error."""

    chance: float
    constant: float
    error: float

    @property
    def skill(self) -> float:
        """The score above which a result shows skill."""
        return self.constant + 2 * self.error


# Chance is uniform over the choices, and 0 where there are none; the constant answer to BBH is the best for each set.
BLIND = {
    "commonsenseqa": Blind(chance=20.0, constant=20.9, error=1.1),
    "chid": Blind(chance=14.3, constant=14.3, error=0.8),
    "bbh": Blind(chance=26.6, constant=30.4, error=0.5),
    "gsm8k": Blind(chance=0.0, constant=3.0, error=0.5),
}


def blind(task: str, score: TaskScore) -> Blind | None:
    """What a score may be held against: that of the same task by the official protocol."""
    return BLIND.get(task) if is_official(score) else None
