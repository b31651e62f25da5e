"""What a search has found: a recipe to paste, and the alternatives to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgelm.compress.base import Step
from edgelm.compress.search.candidates import Candidate, Space
from edgelm.compress.search.curves import Curve
from edgelm.compress.search.limits import Limit
from edgelm.compress.search.ranking import Choice, best_of_each, choices_of, frontier, spread
from edgelm.plugins import spec_of
from edgelm.train.costs.figures import short, size

SHOWN = 12  # alternatives


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        space: that was searched.
        ranked: of each combination of all but the feed-forward width the best, best first.
        front: those than which none both costs less and reads no more for a token, the best first.
    """

    space: Space
    ranked: list[Choice]
    front: list[Choice]

    @classmethod
    def of(cls, space: Space, held: Sequence[Candidate], curves: Mapping[str, Curve], limit: Limit) -> Found:
        """Rank the candidates that a limit holds.

        Below a limit of memory every shape is an alternative. Who names a number of parameters wants it met: there,
        only shapes are that come as near to it as their feed-forward width lets them.
        """
        choices = choices_of(held, curves)
        ranked = best_of_each(choices)
        return cls(space, ranked, frontier(ranked if limit.memory is None else choices))

    def measured(self, kls: Sequence[float | None]) -> Found:
        """The same of the first choices alone, by what they were measured to cost; None is one that cannot be built."""
        made = [replace(choice, kl=kl) for choice, kl in zip(self.ranked, kls, strict=False) if kl is not None]
        return Found(self.space, sorted(made, key=lambda choice: choice.order), frontier(made))

    @property
    def best(self) -> Choice:
        """The choice that costs least."""
        return self.ranked[0]

    @property
    def steps(self) -> list[Step]:
        """The best one's; none if the base fits as it is."""
        return self.space.steps(self.best.candidate.shape)

    @property
    def line(self) -> str:
        """The best one's recipe on one line, to be pasted."""
        return self.recipe(self.best)

    def recipe(self, choice: Choice) -> str:
        """A choice's recipe on one line."""
        return " ".join(map(spec_of, self.space.steps(choice.candidate.shape)))

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The alternatives as a table: columns (`>` is aligned right), and rows, the best first."""
        columns = ("recipe", ">parameters", ">on a phone", ">read a token", self._cost)
        rows: list[tuple[str, ...]] = [
            (self.recipe(choice) or "as it is", short(choice.candidate.parameters), size(choice.candidate.memory),
             size(choice.candidate.read), f"{choice.cost:.3g}")
            for choice in spread(self.front, SHOWN)
        ]  # fmt: skip
        return columns, rows

    def facts(self) -> dict[str, Any]:
        """For machines: the recipe and the alternatives; bytes, and costs as far as they are known."""
        return {"recipe": self.line, "alternatives": [
            {"recipe": self.recipe(choice), "parameters": choice.candidate.parameters,
             "memory": choice.candidate.memory, "read": choice.candidate.read, "error": choice.error, "kl": choice.kl}
            for choice in self.front]}  # fmt: skip

    @property
    def _cost(self) -> str:
        """What the last column says: candidates are built without what takes longer."""
        if self.best.kl is None:
            return ">expected"
        return ">KL before repair" if self.space.thorough else ">KL"
