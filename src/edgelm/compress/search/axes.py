"""The dimensions along which a model may be cut, each by one step, and how far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgelm.compress.base import Config, Step
from edgelm.compress.depth import Depth
from edgelm.compress.kv import Kv
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.errors import InputError
from edgelm.shapes import Shape, shape_of

PROBED = (0.75, 0.5, 0.25)  # shares of the whole at which an axis is looked at


def _all(whole: int) -> Iterable[int]:
    return range(whole - 1, 0, -1)


def _twentieths(whole: int) -> Iterable[int]:
    """Numbers of rows, in multiples of 64."""
    return (round(whole * part / 20 / 64) * 64 for part in range(19, 0, -1))


@dataclass(frozen=True)
class Axis:
    """A dimension of the shape that one step makes smaller."""

    field: str  # of `Shape`
    step: Callable[[Shape, int], Step]  # what leaves so much of a shape
    least: float  # share of the whole that is left in any case
    tried: Callable[[int], Iterable[int]] = _all  # of the whole, what else may be left, most first

    def choices(self, config: Config) -> list[int]:
        """What may be left of this model: the whole, and all that the step itself agrees to; most first."""
        shape = shape_of(config)
        whole: int = getattr(shape, self.field)
        found = [whole]
        for value in self.tried(whole):
            if value >= self.least * whole:
                left = self._left(shape, config, value)
                found += [left] if left is not None and left < found[-1] else []
        return found

    def _left(self, shape: Shape, config: Config, value: int) -> int | None:
        """What the step makes of it; None if it refuses."""
        try:
            left: int = getattr(shape_of(self.step(shape, value).plan(config)), self.field)
        except InputError:
            return None
        return left


# In the order in which steps are best taken.
AXES = {
    axis.field: axis
    for axis in (
        Axis("vocab", lambda shape, left: Vocab(keep=left), 0.5, _twentieths),
        Axis("layers", lambda shape, left: Depth(drop=shape.layers - left), 0.0),
        Axis("ffn", lambda shape, left: Width(ffn=left), PROBED[-1]),
        Axis("kv_heads", lambda shape, left: Kv(left, "mean") if shape.qk_norm else Kv(left), 0.0),
    )
}


def probed(choices: list[int]) -> list[int]:
    """Those of an axis' choices at which it is looked at, most first; the smallest is one, the whole is none."""
    whole, *rest = choices
    near = {min(rest, key=lambda value: (abs(value - share * whole), value)) for share in PROBED} if rest else set()
    return sorted(near | set(rest[-1:]), reverse=True)
