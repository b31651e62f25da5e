"""Points against size as SVG that fits any width; colours are CSS variables of the page.

A point's mark stands above or below it, never beside it: two that do not overlap where the page is narrowest overlap
nowhere, for a wider page only moves them apart.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edgelm.train.costs.figures import short
from edgelm.train.page.chart import ticks

WIDTH, HEIGHT = 230, 240  # pixels of a plot, at the least and always
_ROOM = 0.07  # share of the range that is left free on either side
_STEEP = 4.0  # ratio of the values above which the scale is logarithmic
_LINE, _LETTER, _DOT = 14, 7.5, 10  # pixels: of a mark's line and letter, and of a point, all round
_PLACES = (-16, 16, -30, 30, -44, 44, -58, 58, -72, 72)  # pixels of a mark's middle below its point


Kind = Literal["step", "earlier", "other"]


@dataclass(frozen=True)
class Point:
    """A model: `step` is joined to the one before, `earlier` is of a run before, `other` one that was not taken."""

    mark: str  # what stands at it, nothing or few letters
    said: str  # in words
    x: float
    y: float
    kind: Kind = "step"


@dataclass(frozen=True)
class Scale:
    """Values and their places, from 0 at the lowest to 1."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Sequence[float], *, nought: bool = False, steep: bool = False) -> Scale:
        """A scale on which all have room.

        Args:
            values: finite.
            nought: whether it begins at 0.
            steep: whether it is logarithmic where values are far apart; they are above 0 then.
        """
        low, high = min(values), max(values)
        if steep and high > _STEEP * low:
            room = (high / low) ** _ROOM
            return cls(low / room, high * room, logarithmic=True)
        low = 0.0 if nought else low
        room = (high - low) * _ROOM or abs(high) * 0.05 or 1.0
        return cls(low - (room if not nought else 0.0), high + room)

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self, most: int) -> list[float]:
        """Round values on it, about so many."""
        if not self.logarithmic:
            return ticks(self.low, self.high, most)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**power for power in powers for step in steps
                     if self.low <= step * 10.0**power <= self.high]  # fmt: skip
            if len(found) <= most + 1:
                break
        return found


def plot(title: str, points: Sequence[Point], scale: Scale, write: Callable[[float], str]) -> str:
    """An `<svg>` element; equal input gives equal text.

    Args:
        title: what is shown, for those who do not see it.
        points: in the order in which they were made; `x` are numbers of parameters.
        scale: of their values.
        write: how a value is written at the edge.
    """
    across = Scale.of([point.x for point in points])
    places = [(across(point.x), 1 - scale(point.y)) for point in points]
    steps = [place for point, place in zip(points, places, strict=True) if point.kind == "step"]
    parts = [
        f'<svg role="img" aria-label="{html.escape(described(title, points))}">',
        *_grid(across, scale, write),
        *(f'<line class="way" x1="{_percent(x)}" y1="{_percent(y)}" x2="{_percent(to_x)}" y2="{_percent(to_y)}"/>'
          for (x, y), (to_x, to_y) in pairwise(steps)),
        *(_point(point, *place, below) for point, place, below in zip(points, places, below_each(points, places),
                                                                      strict=True)),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts)


def described(title: str, points: Sequence[Point]) -> str:
    """The plot in words."""
    return f"{title}. " + "; ".join(point.said for point in points if point.mark) + "."


def below_each(points: Sequence[Point], places: Sequence[tuple[float, float]]) -> list[int]:
    """For each point how many pixels below it the middle of its mark stands, so that none covers another or a point."""
    boxes = [_box(x, y, 0, _DOT, _DOT) for x, y in places]
    found = []
    for point, (x, y) in zip(points, places, strict=True):
        width = _LETTER * len(point.mark)
        free = [below for below in _PLACES if _inside(y, below)
                and not any(_overlap(_box(x, y, below, width, _LINE), box) for box in boxes)]  # fmt: skip
        found.append(free[0] if free else _PLACES[0])
        if point.mark:
            boxes.append(_box(x, y, found[-1], width, _LINE))
    return found


Box = tuple[float, float, float, float]  # pixels: left, top, right, bottom


def _box(x: float, y: float, below: float, width: float, height: float) -> Box:
    middle, centre = x * WIDTH, y * HEIGHT + below
    return middle - width / 2, centre - height / 2, middle + width / 2, centre + height / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inside(y: float, below: int) -> bool:
    return -_LINE <= y * HEIGHT + below <= HEIGHT - _LINE / 2


def _point(point: Point, x: float, y: float, below: int) -> str:
    """A point with its mark, drawn in pixels around its place."""
    leader = f'<line y2="{below - math.copysign(_LINE / 2, below):.0f}"/>' if abs(below) > abs(_PLACES[0]) else ""
    mark = f'<text y="{below}" dy="0.35em">{html.escape(point.mark)}</text>' if point.mark else ""
    return (f'<svg class="point {point.kind}" x="{_percent(x)}" y="{_percent(y)}"><g>'
            f"<title>{html.escape(point.said)}</title>{leader}"
            f'<circle r="{4 if point.mark else 3}"/>{mark}</g></svg>')  # fmt: skip


def _grid(across: Scale, scale: Scale, write: Callable[[float], str]) -> Iterator[str]:
    for value in scale.marks(5):
        y = _percent(1 - scale(value))
        yield (f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/>'
               f'<text x="-8" y="{y}" dy="0.32em" class="end">{write(value)}</text>')  # fmt: skip
    written = {short(value): value for value in reversed(across.marks(4))}  # what would read alike stands there once
    for text, value in written.items():
        yield f'<text x="{_percent(across(value))}" y="100%" dy="1.5em">{text}</text>'


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
