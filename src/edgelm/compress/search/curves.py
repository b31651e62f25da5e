"""What cutting costs along one axis: a smooth curve through a few looks, on which more left never costs more."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Curve:
    """A monotone piecewise cubic through points (Fritsch and Carlson 1980, as in PCHIP).

    Attributes:
        left: what is left of the axis, ascending.
        costs: at each of these; descending.
        slopes: there.
    """

    left: tuple[float, ...]
    costs: tuple[float, ...]
    slopes: tuple[float, ...]

    @classmethod
    def through(cls, points: Mapping[int, float]) -> Curve:
        """The curve through costs by what is left.

        Where less costs less, which only noise can say, neighbours are given their mean.
        """
        left = sorted(points)
        costs = _descending([points[value] for value in left])
        return cls(tuple(map(float, left)), tuple(costs), tuple(_slopes(left, costs)))

    def __call__(self, value: float) -> float:
        """The cost where so much is left; what lies outside of the points is cost at the nearest."""
        value = min(max(value, self.left[0]), self.left[-1])
        if len(self.left) == 1:
            return self.costs[0]
        place = min(bisect_right(self.left, value), len(self.left) - 1) - 1
        start, end = self.left[place : place + 2]
        width = end - start
        t = (value - start) / width
        rise = self.costs[place + 1] - self.costs[place]
        bent = (1 - t) * (width * self.slopes[place] - rise) - t * (width * self.slopes[place + 1] - rise)
        return self.costs[place] + t * rise + t * (1 - t) * bent


def _descending(values: Iterable[float]) -> list[float]:
    """The nearest values that never rise (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []  # mean and how many
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] < mean:
            before, many = pools.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]


def _slopes(left: list[int], costs: list[float]) -> list[float]:
    """At each point: of its two neighbours' the harmonic mean, so that the curve overshoots nowhere."""
    widths = [after - before for before, after in pairwise(left)]
    rises = [(after - before) / width for (before, after), width in zip(pairwise(costs), widths, strict=True)]
    if len(rises) < 2:
        return rises * 2 or [0.0]
    inner = []
    for (h0, h1), (d0, d1) in zip(pairwise(widths), pairwise(rises), strict=True):
        w0, w1 = 2 * h1 + h0, h1 + 2 * h0
        inner.append((w0 + w1) / (w0 / d0 + w1 / d1) if d0 * d1 > 0 else 0.0)
    return [_end(widths[:2], rises[:2]), *inner, _end(widths[:-3:-1], rises[:-3:-1])]


def _end(widths: list[int], rises: list[float]) -> float:
    """The slope at an end, from the two stretches next to it, nearest first."""
    (h0, h1), (d0, d1) = widths, rises
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
        return 0.0
    return 3 * d0 if d0 * d1 <= 0 and abs(slope) > 3 * abs(d0) else slope
