"""Plots as they may stand in our pages: without style attributes, which the content security policy forbids."""

from __future__ import annotations

import re
import threading
from functools import lru_cache

from markupsafe import Markup

from edgelm.score.plots import Better, Point, scatter

_STYLE = re.compile(r' style="([^"]*)"')
_drawing = threading.Lock()  # matplotlib draws one at a time


@lru_cache(maxsize=64)  # plots of one revision, which all its readers see
def drawn(points: tuple[Point, ...], x_label: str, better: Better, title: str) -> Markup:
    """A scatter plot of scores as an SVG element, whose colours are the page's."""
    with _drawing:
        return Markup(_STYLE.sub(_attributes, scatter(points, x_label=x_label, better=better, title=title)))


def _attributes(style: re.Match[str]) -> str:
    """`fill: none; stroke-width: 2` as attributes, which SVG has for all of it."""
    pairs = (part.partition(":") for part in style[1].split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)
