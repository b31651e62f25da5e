"""Where the labels of a plot stand, so that they cover each other, the marks and the frame as little as they can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ADVANCE = 0.6  # mean width of a letter over the size of the font
_MARK = 7  # points around the middle of a mark that a label keeps free
_ROUNDS = 5  # of moving labels out of each other's way
Box = tuple[float, float, float, float]  # left, low, right, high; points


@dataclass(frozen=True)
class Side:
    """A place for a label: its offset from the mark in points, and which end of it is fixed there."""

    align: Literal["left", "right", "center"]
    dx: float
    dy: float

    def box(self, x: float, y: float, width: float, height: float) -> Box:
        """What a label of that size covers beside a mark at (x, y)."""
        share = {"left": 0.0, "center": 0.5, "right": 1.0}[self.align]
        left, low = x + self.dx - share * width, y + self.dy - height / 2
        return left, low, left + width, low + height


SIDES = (
    Side("left", 9, 0), Side("right", -9, 0), Side("center", 0, 13), Side("center", 0, -13),
    Side("left", 7, 9), Side("right", -7, 9), Side("left", 7, -9), Side("right", -7, -9),
)  # fmt: skip


def place(
    labels: Sequence[tuple[float, float, float]],
    marks: Sequence[tuple[float, float]],
    height: float,
    frame: Sequence[float],
    lines: Sequence[Box] = (),
) -> list[Side]:
    """A side for each label (x and y of its mark, its width), moved in turn until nothing improves.

    `marks` are all marks drawn, `height` is that of every label, `frame` is left, low, right, high; all in points.
    `lines` are upright or level strokes, as boxes.
    """
    around = [*((x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in marks), *lines]
    boxes = [[side.box(x, y, width, height) for side in SIDES] for x, y, width in labels]
    chosen = [0] * len(labels)
    for _ in range(_ROUNDS):
        before = list(chosen)
        for own, choices in enumerate(boxes):
            others = [boxes[other][side] for other, side in enumerate(chosen) if other != own]
            costs = [_covered(box, around + others) + 1e3 * _outside(box, frame) for box in choices]
            chosen[own] = costs.index(min(costs))
        if chosen == before:
            break
    return [SIDES[side] for side in chosen]


def _covered(box: Box, taken: list[Box]) -> float:
    """Area of the box that others cover."""
    shared = [
        (min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    ]
    return sum(width * height for width, height in shared if width > 0 and height > 0)


def _outside(box: Box, frame: Sequence[float]) -> float:
    """Points by which the box reaches out of the frame to the left and right."""
    return max(0.0, frame[0] - box[0]) + max(0.0, box[2] - frame[2])
