"""Line charts as SVG that fits any width: lines stretch with the page, text and marks do not.

Colours are CSS variables of the page. Values are read off without a script: a narrow column under the pointer shows
those of its place.
"""

from __future__ import annotations

import html
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgelm.train.costs.figures import short
from edgelm.train.page.series import Points, thinned

INKS = ("accent", "reference", "good", "bad", "muted")  # of the page's variables, for lines that are told apart
_COLUMNS = 72  # places at which values can be read off
_SIDE = 1000  # units of the stretched drawing, both ways


@dataclass(frozen=True)
class Line:
    """A curve: `noise` is the faint one behind a smoothed one, `marked` has a dot at every point."""

    name: str
    points: Points
    ink: str = "accent"
    kind: Literal["plain", "noise", "marked"] = "plain"


@dataclass(frozen=True)
class Frame:
    """What is shown: tokens from 0 to `right`, values from `low` to `high`."""

    right: float
    low: float
    high: float

    def x(self, tokens: float) -> float:
        """The place from the left, 0 to 1."""
        return tokens / self.right

    def y(self, value: float) -> float:
        """The place from the top; 0 to 1 within the frame."""
        return (self.high - value) / (self.high - self.low)


def framed(lines: Sequence[Line], *, floor: float | None = None, steep: float = 0.03) -> Frame | None:
    """A frame around lines, but for how they began: the first values of a run would flatten all that follows.

    Args:
        lines: those that must fit.
        floor: the lowest value shown; None for that of the lines.
        steep: the share of all tokens that need not fit, unless nothing comes after it.
    """
    right = max((tokens for line in lines for tokens, _ in line.points), default=0)
    late = [value for line in lines for tokens, value in line.points if tokens >= steep * right]
    if not late or right <= 0:
        return None
    low, high = min(late) if floor is None else floor, max(late)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Frame(right, low if floor is not None else low - room, high + room)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range, at most about so many."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def chart(
    title: str, lines: Sequence[Line], frame: Frame, write: Callable[[float], str], *, bounds: Sequence[float] = ()
) -> str:
    """An `<svg>` element of the lines within the frame; equal input gives equal text.

    Args:
        title: what is shown, for those who do not see it.
        lines: in the order in which they are painted.
        frame: what is shown of them.
        write: how a value is written where it is read off.
        bounds: tokens at which an upright line stands.
    """
    parts = [
        f'<svg role="img" aria-label="{html.escape(_described(title, lines, write))}">',
        *_grid(frame),
        *(f'<line class="bound" x1="{_percent(frame.x(at))}" x2="{_percent(frame.x(at))}" y1="0" y2="100%"/>'
          for at in bounds if 0 < at < frame.right),
        f'<svg width="100%" height="100%" viewBox="0 0 {_SIDE} {_SIDE}" preserveAspectRatio="none" class="lines">',
        *(_path(line, frame) for line in lines),
        "</svg>",
        *(dot for line in lines if line.kind == "marked" or len(line.points) == 1 for dot in _dots(line, frame)),
        *_readings([line for line in lines if line.kind != "noise"], frame, write),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _described(title: str, lines: Sequence[Line], write: Callable[[float], str]) -> str:
    spoken = [line for line in lines if line.points and line.kind != "noise"]
    ends = "; ".join(f"{line.name} from {write(line.points[0][1])} to {write(line.points[-1][1])}" for line in spoken)
    return f"{title} over tokens. {ends}."


def _grid(frame: Frame) -> Iterator[str]:
    values = ticks(frame.low, frame.high)
    places = max((_decimals(value) for value in values), default=0)
    for value in values:
        y = _percent(frame.y(value))
        text = short(value) if abs(values[-1]) >= 1000 else f"{value:.{places}f}"
        yield f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/><text x="-8" y="{y}" dy="0.32em" class="end">{text}</text>'
    for tokens in ticks(0, frame.right, 4):
        anchor = ' class="end"' if tokens > 0.96 * frame.right else ""
        yield f'<text x="{_percent(frame.x(tokens))}" y="100%" dy="1.5em"{anchor}>{short(tokens)}</text>'


def _decimals(value: float) -> int:
    """Digits behind the point that a round number needs."""
    return next((places for places in range(6) if abs(value - round(value, places)) < 1e-9), 6)


def _path(line: Line, frame: Frame) -> str:
    def place(point: tuple[float, float]) -> str:
        y = min(max(frame.y(point[1]), -1.0), 2.0)  # what is far outside stays outside
        return f"{frame.x(point[0]) * _SIDE:.1f} {y * _SIDE:.1f}"

    points = thinned(line.points)
    return (
        f'<path class="{line.kind}" stroke="var(--{line.ink})" d="M{"L".join(map(place, points))}"/>' if points else ""
    )


def _dots(line: Line, frame: Frame) -> Iterator[str]:
    """A dot at each point, as long as they stand apart."""
    shown = [point for point in line.points if 0 <= frame.y(point[1]) <= 1]
    for tokens, value in shown if len(shown) <= 40 else shown[-1:]:
        yield (f'<circle cx="{_percent(frame.x(tokens))}" cy="{_percent(frame.y(value))}" r="2.6" '
               f'fill="var(--{line.ink})"/>')  # fmt: skip


def _readings(lines: Sequence[Line], frame: Frame, write: Callable[[float], str]) -> Iterator[str]:
    """The values of the last place, and those of the place under the pointer instead."""
    lines = [line for line in lines if line.points]
    tokens = [[point[0] for point in line.points] for line in lines]

    def reading(at: float) -> str:
        near = [line.points[_nearest(own, at)] for line, own in zip(lines, tokens, strict=True)]
        values = " · ".join(
            f'<tspan fill="var(--{line.ink})">{write(value)}</tspan>'
            for line, (_, value) in zip(lines, near, strict=True)
        )
        return f'<text x="100%" y="-9" class="end">{short(near[0][0])} tokens: {values}</text>'

    if not lines:
        return
    yield f'<g class="last">{reading(frame.right)}</g>'
    for number in range(_COLUMNS):
        middle = _percent((number + 0.5) / _COLUMNS)
        yield (
            f'<g class="at"><rect x="{_percent(number / _COLUMNS)}" width="{_percent(1 / _COLUMNS)}" height="100%"/>'
            f'<g><line x1="{middle}" x2="{middle}" y1="0" y2="100%"/>'
            f"{reading((number + 0.5) / _COLUMNS * frame.right)}</g></g>"
        )


def _nearest(ordered: Sequence[float], value: float) -> int:
    """The place of the number that is nearest in a sequence that ascends."""
    after = min(bisect_left(ordered, value), len(ordered) - 1)
    return after - 1 if after and value - ordered[after - 1] < ordered[after] - value else after
