"""A small competition for the tests of scoring: rules with few tasks, and entries written as score vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from edgelm.rules.base import Rules, Track
from edgelm.score.entries import Entry, SlotModel

Number = int | Fraction | None
Vectors = Mapping[str, Sequence[Sequence[Number]]]
TRACK = Track("from-scratch", "from-scratch", ("model",))
RULES = Rules(name="three", tracks=(TRACK,), tasks=("first", "second"))
START = datetime(2024, 10, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def rules() -> Rules:
    """Two tasks of weight 1, then throughput of weight 2; one model a submission."""
    return RULES


@pytest.fixture(scope="session")
def track() -> Track:
    """A track with one slot."""
    return TRACK


@pytest.fixture(scope="session")
def entries() -> Callable[..., list[Entry]]:
    """`entries({"A": [(10, 10)], …})`: teams with their submissions' scores, `A1` received before `A2` before `B1`.

    A vector gives the tasks of the rules in order, then throughput; what it leaves out is missing.
    """

    def make(vectors: Vectors, rules: Rules = RULES, *, memory: int = 1) -> list[Entry]:
        made: list[Entry] = []
        for team, submissions in vectors.items():
            for number, vector in enumerate(submissions, start=1):
                scores = dict(zip(rules.weights, vector, strict=False))
                speed = scores.pop("throughput", None)
                model = SlotModel(name="model", scores=scores, throughput=speed, peak_memory=memory)
                received = START + timedelta(seconds=len(made))
                made.append(Entry(submission=f"{team}{number}", team=team, received=received, models={"model": model}))
        return made

    return make
