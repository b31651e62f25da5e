"""Curves out of metrics: one quantity over tokens, smoothed, and thinned to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

Points = list[tuple[float, float]]  # tokens, value

SMOOTH = 0.01  # half of the window over which values are averaged, as a share of all updates,
LEAST = 12  # but at least so many updates, unless there are hardly more
SEEN = 600  # places along the axis that are told apart


def series(metrics: Iterable[Mapping[str, Any]], key: str) -> Points:
    """A quantity over the tokens seen so far; lines that lack it, or where it is no finite number, are left out."""
    points = []
    for line in metrics:
        value, tokens = line.get(key), line.get("tokens")
        if _number(value) and _number(tokens):
            points.append((float(tokens), float(value)))  # type: ignore[arg-type]
    return points


def held(metrics: Iterable[Mapping[str, Any]], key: str) -> dict[str, Points]:
    """A quantity of the held-out text (`loss`, `bpb`) over tokens, by source."""
    found: dict[str, Points] = {}
    for line in metrics:
        for source, values in (line.get("held") or {}).items():
            if points := series([{"tokens": line.get("tokens"), key: values.get(key)}], key):
                found.setdefault(source, []).extend(points)
    return found


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def smoothed(points: Points) -> Points:
    """Each value as the mean of those around it; the window narrows towards the steep beginning."""
    sums = [0.0, *accumulate(value for _, value in points)]
    reach = max(round(SMOOTH * len(points)), min(LEAST, len(points) // LEAST))
    made = []
    for place, (tokens, _) in enumerate(points):
        before = min(reach, place)
        start, end = place - before, min(place + before + 1, len(points))
        made.append((tokens, (sums[end] - sums[start]) / (end - start)))
    return made


def thinned(points: Points, seen: int = SEEN) -> Points:
    """At most 2·`seen` points that look the same: of each of `seen` groups the lowest and the highest, in order."""
    if len(points) <= 2 * seen:
        return points
    made: Points = []
    for group in _groups(points, seen):
        ends = {min(group, key=lambda point: point[1]), max(group, key=lambda point: point[1])}
        made += sorted(ends)
    return made


def _groups(points: Points, count: int) -> Iterable[Points]:
    bounds = [number * len(points) // count for number in range(count + 1)]
    return (points[start:end] for start, end in pairwise(bounds))


def median(values: Sequence[float]) -> float | None:
    """The middle value; None of nothing."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
