"""Scatter plots as SVG to stand inside a page: no colour, font or date of their own, equal bytes for equal points.

Colours are drawn as stand-ins and then replaced by the page's CSS variables, so that one drawing serves a light and a
dark screen. Text stays text and takes the page's font.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from edgelm.errors import MissingPackage
from edgelm.score.labels import ADVANCE, Box, place

Kind = Literal["board", "other", "reference"]
Better = Literal["more", "less"]
INK, MUTED, LINE, ACCENT, REFERENCE, PAPER = "#000001", "#000002", "#000003", "#000004", "#000005", "#000006"
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", REFERENCE: "reference", PAPER: "paper"}
_WIDTH, _HEIGHT, _HIGHEST = 5.0, 3.6, 5.4  # inches; at 72 dots an inch one dot is one point
_FONT = 10.5  # points
_LABEL = 22  # characters shown of a label
_STROKE = 2  # points on either side of the frontier that labels keep free


@dataclass(frozen=True)
class Point:
    """One mark: `board` stands for a team, `other` is a further submission of one, `reference` is unranked."""

    x: float
    y: float
    label: str
    kind: Kind


def frontier(points: Iterable[Point], better: Better) -> list[Point]:
    """The ranked points that no other beats in both y (more is better) and x, from the best x on."""
    sign = -1 if better == "more" else 1
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (sign * p.x, -p.y)):
        if point.kind != "reference" and (not best or point.y > best[-1].y):
            best.append(point)
    return best


def scatter(points: Sequence[Point], *, x_label: str, better: Better, title: str) -> str:
    """An SVG element that plots mean scores over x, with the frontier as a line and each team named.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackage("matplotlib", "page") from None
    settings = {"svg.fonttype": "none", "svg.hashsalt": title, "font.size": _FONT, "axes.unicode_minus": True}
    best = frontier(points, better)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that matplotlib's font lacks: the page's font draws them
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        height = min(_HIGHEST, _HEIGHT + 0.1 * len(points))  # room for the labels
        figure = Figure(figsize=(_WIDTH, height), dpi=72)
        axes = figure.add_axes((0.09, 0.15, 0.88, 0.74))
        _draw_points(axes, points, best)
        _draw_frame(axes, x_label)
        _draw_labels(axes, points, best)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), title, _described(points, best, title))


def _draw_points(axes: Any, points: Sequence[Point], best: list[Point]) -> None:
    axes.step([p.x for p in best], [p.y for p in best], where="post", color=ACCENT, alpha=0.4, linewidth=1.2, zorder=1)
    marks: dict[Kind, dict[str, Any]] = {
        "other": {"marker": "o", "s": 26, "facecolor": PAPER, "edgecolor": ACCENT, "linewidth": 1.1},
        "reference": {"marker": "D", "s": 46, "facecolor": PAPER, "edgecolor": REFERENCE, "linewidth": 1.8},
        "board": {"marker": "o", "s": 52, "facecolor": ACCENT, "edgecolor": PAPER, "linewidth": 1.2},
    }
    for kind, mark in marks.items():
        chosen = [point for point in points if point.kind == kind]
        axes.scatter([p.x for p in chosen], [p.y for p in chosen], zorder=3, **mark)
    axes.margins(0.16, 0.14)


def _draw_frame(axes: Any, x_label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=MUTED, pad=6)
    axes.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3))
    axes.yaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3))
    axes.set_xlabel(x_label, color=MUTED, loc="right", labelpad=6)
    axes.set_title("Mean score, %", color=MUTED, loc="left", fontsize=_FONT, pad=6, x=-0.07)


def _draw_labels(axes: Any, points: Sequence[Point], best: Sequence[Point]) -> None:
    """Name every point but the further submissions, each on the side where it covers the least."""
    marks = [tuple(place) for place in axes.transData.transform([(p.x, p.y) for p in points])]
    steps = [marks[points.index(point)] for point in best]
    named = [(point, mark) for point, mark in zip(points, marks, strict=True) if point.kind != "other"]
    texts = [p.label if len(p.label) <= _LABEL else p.label[: _LABEL - 1] + "…" for p, _ in named]
    labels = [(x, y, ADVANCE * _FONT * len(text)) for (_, (x, y)), text in zip(named, texts, strict=True)]
    sides = place(labels, marks, 1.2 * _FONT, axes.get_window_extent().extents, _strokes(steps))
    for (point, _), text, side in zip(named, texts, sides, strict=True):
        axes.annotate(
            text, (point.x, point.y), (side.dx, side.dy), textcoords="offset points", parse_math=False,
            ha=side.align, va="center_baseline", color=REFERENCE if point.kind == "reference" else INK,
        )  # fmt: skip


def _strokes(steps: Sequence[tuple[float, float]]) -> list[Box]:
    """The frontier as it is drawn between its points: level to below the next one, then upright to it."""
    strokes = []
    for (x, y), (next_x, next_y) in pairwise(steps):
        strokes += [(min(x, next_x), y - _STROKE, max(x, next_x), y + _STROKE),
                    (next_x - _STROKE, min(y, next_y), next_x + _STROKE, max(y, next_y))]  # fmt: skip
    return strokes


def _described(points: Sequence[Point], best: list[Point], title: str) -> str:
    """What the plot says, in words, for those who do not see it."""
    marks = "; ".join(f"{p.label}: {p.y:.2f} % at {p.x:.4g}" for p in points if p.kind != "other")
    return f"{title}. {marks}. Beaten by none on both: {', '.join(p.label for p in best) or 'none'}."


def _inline(svg: str, title: str, alt: str) -> str:
    """The `<svg>` element alone: ids unlike those of other drawings, no namespaces, the page's colours and font."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</defs>\s*", "", element, flags=re.DOTALL)
    slug = re.sub(r"\W+", "-", title.lower())
    element = re.sub(r'\bid="', f'id="{slug}-', element)
    element = re.sub(r'xlink:href="#|href="#', f'href="#{slug}-', element).replace("url(#", f"url(#{slug}-")
    element = re.sub(r' xmlns(:\w+)?="[^"]*"| (width|height)="[\d.]+pt"| version="1.1"', "", element)
    element = re.sub(r" font-family: [^;\"]*;", "", element)
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, f"var(--{variable})")
    return element.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1).strip()
