"""Lines and points on two axes, straight or logarithmic, as SVG that fits any width; colours are CSS variables.

Lines stretch with the page; text and points do not.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgelm.train.page.chart import ticks

Points = Sequence[tuple[float, float]]
_SIDE = 1000  # units of the stretched drawing, both ways


@dataclass(frozen=True)
class Axis:
    """Values and their places, from 0 at the lowest to 1; `write` says how they are written."""

    low: float
    high: float
    write: Callable[[float], str]
    logarithmic: bool = False
    most: int = 5  # round values that are written, about

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.logarithmic:
            return math.log(max(value, self.low / 1e3) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self) -> list[float]:
        """Round values on it, about so many; at least two."""
        if not self.logarithmic:
            return ticks(self.low, self.high, self.most)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**power for power in powers for step in steps]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= self.most + 1:
                return found
        return found[:: math.ceil(len(found) / self.most)]


@dataclass(frozen=True)
class Line:
    """A curve of the page's colours."""

    name: str
    points: Points
    ink: str = "accent"
    kind: Literal["plain", "faint", "dashed"] = "plain"


@dataclass(frozen=True)
class Level:
    """A value that a dashed line across the chart stands at, with its name at the right."""

    name: str
    value: float
    ink: str = "reference"
    below: bool = False  # the name, not above the line


@dataclass(frozen=True)
class Dot:
    """A point with its name, and what is said of it under the pointer."""

    name: str
    x: float
    y: float
    said: str
    ink: str = "accent"
    side: Literal["left", "right"] = "right"


def chart(
    title: str, across: Axis, up: Axis, *, lines: Sequence[Line] = (), levels: Sequence[Level] = (),
    dots: Sequence[Dot] = (),
) -> str:  # fmt: skip
    """An `<svg>` element; equal input gives equal text.

    Args:
        title: what is shown, for those who do not see it.
        across: from left to right.
        up: from below.
        lines: in the order in which they are painted.
        levels: across the whole chart.
        dots: above all else.
    """
    parts = [
        f'<svg role="img" aria-label="{html.escape(title)}">',
        *_grid(across, up),
        f'<svg width="100%" height="100%" viewBox="0 0 {_SIDE} {_SIDE}" preserveAspectRatio="none" class="lines">',
        *(_path(line, across, up) for line in lines if line.points),
        "</svg>",
        *(_level(level, up) for level in levels if 0 <= up(level.value) <= 1),
        *(_dot(dot, across(dot.x), 1 - up(dot.y)) for dot in dots),
        "</svg>",
    ]
    return "\n".join(parts)


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for value in up.marks():
        y = _percent(1 - up(value))
        yield (f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/>'
               f'<text x="-8" y="{y}" dy="0.32em" class="end">{html.escape(up.write(value))}</text>')  # fmt: skip
    for value in across.marks():
        place, anchor = _percent(across(value)), ' class="end"' if across(value) > 0.96 else ""
        yield f'<text x="{place}" y="100%" dy="1.5em"{anchor}>{html.escape(across.write(value))}</text>'


def _path(line: Line, across: Axis, up: Axis) -> str:
    def place(point: tuple[float, float]) -> str:
        y = min(max(1 - up(point[1]), -1.0), 2.0)  # what is far outside stays outside
        return f"{across(point[0]) * _SIDE:.1f} {y * _SIDE:.1f}"

    return (f'<path class="{line.kind}" stroke="var(--{line.ink})" d="M{"L".join(map(place, line.points))}">'
            f"<title>{html.escape(line.name)}</title></path>")  # fmt: skip


def _level(level: Level, up: Axis) -> str:
    y = _percent(1 - up(level.value))
    return (f'<line class="level" x1="0" x2="100%" y1="{y}" y2="{y}" style="stroke: var(--{level.ink})"/>'
            f'<text class="end name" x="100%" y="{y}" dy="{"1.25em" if level.below else "-0.45em"}" '
            f'style="fill: var(--{level.ink})">{html.escape(level.name)}</text>')  # fmt: skip


def _dot(dot: Dot, x: float, y: float) -> str:
    """A point with its name, drawn in pixels around its place."""
    shift, anchor = ("-4", ' class="end name"') if dot.side == "left" else ("4", ' class="start name"')
    return (f'<svg class="dot" x="{_percent(x)}" y="{_percent(y)}"><g><title>{html.escape(dot.said)}</title>'
            f'<circle r="4.5" style="fill: var(--{dot.ink})"/>'
            f'<text x="{shift}" dy="1.35em"{anchor}>{html.escape(dot.name)}</text></g></svg>')  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
