"""Which candidates are best: by what cutting is expected to cost, or has been measured to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgelm.compress.search.candidates import Candidate
from edgelm.compress.search.curves import Curve
from edgelm.compress.search.limits import Limit
from edgelm.errors import BadOption
from edgelm.train.costs.figures import short, size


@dataclass(frozen=True)
class Choice:
    """A candidate and what it costs."""

    candidate: Candidate
    error: float  # expected, see `probe`
    kl: float | None = None  # from the base, nats a token, where it was built and measured

    @property
    def cost(self) -> float:
        """What it is judged by."""
        return self.error if self.kl is None else self.kl

    @property
    def order(self) -> tuple[float, int, tuple[int, ...]]:
        """Better ones come first; of equals the one that reads less, then the smaller one."""
        return self.cost, self.candidate.read, self.candidate.dimensions


def choices_of(candidates: Iterable[Candidate], curves: Mapping[str, Curve]) -> list[Choice]:
    """The candidates with what they are expected to cost: the sum of the axes' costs, each as if cut alone."""
    return [
        Choice(each, sum(curve(getattr(each.shape, field)) for field, curve in curves.items())) for each in candidates
    ]


def within(candidates: Iterable[Candidate], limit: Limit) -> list[Candidate]:
    """The candidates that a limit holds.

    Raises:
        BadOption: it holds none; says what the smallest needs.
    """
    every = list(candidates)
    held = [candidate for candidate in every if limit.holds(candidate)]
    if held:
        return held
    if not every:
        raise BadOption("no shape is left that every program takes which takes the base",
                        mend="ask for fewer programs, or leave out the steps that are given")  # fmt: skip
    least = min(every, key=lambda candidate: candidate.memory)
    raise BadOption(
        f"no shape that the steps may make fits {limit}",
        why=f"the smallest has {short(least.parameters)} parameters and needs {size(least.memory)}",
        mend="give a larger limit, cut the vocabulary beside it (vocab:keep=0.5), or compress twice",
    )


def best_of_each(choices: Iterable[Choice]) -> list[Choice]:
    """The best feed-forward width of each combination of all else, best first.

    Feed-forward widths are close to one another, and more channels always keep more: all others of a combination are
    like its best, only smaller.
    """
    best: dict[tuple[int, ...], Choice] = {}
    for choice in choices:
        layers, _, *others = choice.candidate.dimensions
        key = (layers, *others)
        if key not in best or choice.order < best[key].order:
            best[key] = choice
    return sorted(best.values(), key=lambda choice: choice.order)


def frontier(choices: Iterable[Choice]) -> list[Choice]:
    """Those than which none costs less and reads no more (Pareto); what reads most first."""
    front: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.candidate.read, choice.order)):
        if not front or choice.cost < front[-1].cost:
            front.append(choice)
    return front[::-1]


def spread(choices: Sequence[Choice], most: int) -> list[Choice]:
    """At most so many of a list, the first and the last among them, evenly."""
    if len(choices) <= most:
        return list(choices)
    return [choices[round(place * (len(choices) - 1) / (most - 1))] for place in range(most)]
