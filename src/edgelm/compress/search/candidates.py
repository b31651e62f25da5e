"""All shapes that steps can make of a model, and what each needs on a phone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from edgelm.compress.base import Config, Step
from edgelm.compress.costs import phone
from edgelm.compress.depth import Depth
from edgelm.compress.repair import Repair
from edgelm.compress.search.axes import AXES
from edgelm.deploy.accepts import exports
from edgelm.shapes import Shape, shape_of

SEARCHED = ("layers", "ffn", "kv_heads")  # axes, where nothing else is asked for
PROGRAMS = ("runtime", "mlc")  # fields of `Exports`: programs that shall take the result if they take the base


@dataclass(frozen=True)
class Candidate:
    """A shape, and what it needs."""

    shape: Shape
    parameters: int
    memory: int  # bytes on a phone at a context
    read: int  # bytes for each token that is written

    @property
    def dimensions(self) -> tuple[int, ...]:
        """(L, F, D, H, G, V)."""
        shape = self.shape
        return shape.layers, shape.ffn, shape.width, shape.heads, shape.kv_heads, shape.vocab


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        base: configuration of the base.
        fixed: steps that are taken in any case.
        config: what they make of it.
        choices: what may be left along each axis, the whole first; one that is not searched has the whole alone.
        thorough: whether recipes do what takes longer: layers go by the predictions without them, and what is left is
            repaired.
    """

    base: Config
    fixed: tuple[Step, ...]
    config: Config
    choices: Mapping[str, list[int]]
    thorough: bool = False

    @classmethod
    def of(
        cls, base: Config, fixed: Sequence[Step] = (), axes: Collection[str] = SEARCHED, *, thorough: bool = False
    ) -> Space:
        """The space around a base; what a fixed step cuts is not searched.

        Raises:
            InputError: a fixed step does not fit, or the model is none that can be cut.
        """
        config = base
        for step in fixed:
            config = config if step.idle(config) else step.plan(config)
        before, after = shape_of(base), shape_of(config)
        choices = {}
        for name, axis in AXES.items():
            free = name in axes and getattr(before, name) == getattr(after, name)
            choices[name] = axis.choices(config) if free else [getattr(after, name)]
        return cls(base, tuple(fixed), config, choices, thorough)

    def candidates(
        self, width: int, context: int = phone.CONTEXT, programs: Collection[str] = PROGRAMS
    ) -> Iterator[Candidate]:
        """All shapes, those left out that a program would no longer take which takes the base.

        Args:
            width: bytes of a stored weight.
            context: tokens that memory is reckoned for.
            programs: fields of `Exports`.
        """
        taking = [name for name in programs if not self._obstacle(shape_of(self.base), name)]
        names = [name for name in self.choices if name != "layers"]
        for values in product(*(self.choices[name] for name in names)):
            cut: dict[str, Any] = dict(zip(names, values, strict=True))
            shape = replace(shape_of(self.config), **cut)
            if not any(self._obstacle(shape, name) for name in taking):
                yield from _by_layers(shape, self.choices["layers"], width, context)

    def _obstacle(self, shape: Shape, program: str) -> str:
        found: str = getattr(exports(shape, trimmed=shape.vocab != shape_of(self.base).vocab), program)
        return found

    def steps(self, shape: Shape) -> list[Step]:
        """The recipe that makes a shape: the fixed steps in their order, each other one where it is best taken."""
        whole = shape_of(self.config)
        recipe = list(self.fixed)
        for name, axis in AXES.items():
            left = getattr(shape, name)
            if left != getattr(whole, name):
                step = axis.step(whole, left)
                if self.thorough and isinstance(step, Depth):
                    step = replace(step, score="kl")
                _insert(recipe, step)
        if self.thorough and recipe != list(self.fixed) and self._repairable(recipe):
            _insert(recipe, Repair())
        return recipe

    def _repairable(self, recipe: Sequence[Step]) -> bool:
        one_stream = shape_of(self.base).width == shape_of(self.config).width
        return one_stream and not any(isinstance(step, Repair) for step in recipe)


def _by_layers(shape: Shape, counts: Sequence[int], width: int, context: int) -> Iterator[Candidate]:
    """A shape with each number of layers. A layer more always needs as much more, so that two of them tell of all."""
    one, two = (_needs(replace(shape, layers=layers), width, context) for layers in (1, 2))
    for layers in counts:
        needs = [first + (layers - 1) * (second - first) for first, second in zip(one, two, strict=True)]
        yield Candidate(replace(shape, layers=layers), *needs)


def _needs(shape: Shape, width: int, context: int) -> tuple[int, int, int]:
    memory, read = phone.memory(shape, width, context), phone.read_per_token(shape, width, context)
    return shape.parameters, memory, read


def _insert(recipe: list[Step], step: Step) -> None:
    later = (place for place, other in enumerate(recipe) if _rank(other) > _rank(step))
    recipe.insert(next(later, len(recipe)), step)


def _rank(step: Step) -> int:
    """The place of a step in the order in which they are best taken; of a foreign one, the last."""
    order = ["vocab", "depth", "width", "kv", "repair"]
    name = type(step).__name__.lower()
    return order.index(name) if name in order else len(order)
