"""A number for each layer as bars that fit any width; colours are CSS variables of the page."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterator, Sequence

from edgelm.train.page.chart import ticks

_ROOM = 1.08  # of the highest bar, so that it does not touch the top
_GAP = 0.22  # share of a bar's place that is left free


def bars(title: str, values: Sequence[float], marked: Collection[int] = (), layers: Sequence[int] = ()) -> str:
    """An `<svg>` element; equal input gives equal text.

    Args:
        title: what is shown, for those who do not see it.
        values: none is negative.
        marked: layers that stand out.
        layers: whose values these are; 0, 1, … if empty.
    """
    layers = layers or range(len(values))
    top = max(values, default=0.0) * _ROOM or 1.0
    parts = [
        f'<svg role="img" aria-label="{html.escape(described(title, values, layers))}">',
        *_grid(top),
        *(_bar(place, value / top, len(values), f"layer {layer}: {figure(value)}", marked=layer in marked)
          for place, (layer, value) in enumerate(zip(layers, values, strict=True))),
        *_numbers(layers),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts)


def described(title: str, values: Sequence[float], layers: Sequence[int]) -> str:
    """The chart in words."""
    highest, layer = max(zip(values, layers, strict=True), key=lambda each: each[0])
    mean = sum(values) / len(values)
    return f"{title}, {len(values)} values: {figure(mean)} in the mean, at most {figure(highest)} ({layer})"


def figure(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}"


def four(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


def _bar(number: int, share: float, count: int, said: str, *, marked: bool) -> str:
    """A bar with what is said of it under the pointer, on a place as high as the chart."""
    place, left = 100 / count, 100 * number / count
    kind = ' class="marked"' if marked else ""
    return (
        f"<g{kind}><title>{said}</title>"
        f'<rect class="place" x="{_percent(left)}" width="{_percent(place)}" height="100%"/>'
        f'<rect x="{_percent(left + place * _GAP / 2)}" y="{_percent(100 - 100 * share)}" '
        f'width="{_percent(place * (1 - _GAP))}" height="{_percent(100 * share)}"/></g>'
    )


def _grid(top: float) -> Iterator[str]:
    for value in ticks(0, top, 3):
        y = _percent(100 - 100 * value / top)
        yield (f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/>'
               f'<text x="-8" y="{y}" dy="0.32em" class="end">{figure(value)}</text>')  # fmt: skip


def _numbers(layers: Sequence[int]) -> Iterator[str]:
    """The numbers of a few layers, below the middle of their bars."""
    count = len(layers)
    for place in sorted({round(tick) for tick in ticks(0, max(count - 1, 1), 6)}):
        if place < count:
            yield f'<text x="{_percent(100 * (place + 0.5) / count)}" y="100%" dy="1.4em">{layers[place]}</text>'


def _percent(value: float) -> str:
    return f"{value:.4g}%"
