"""The page of a training run: one HTML file that needs nothing else, neither script nor font nor picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgelm.pages import environment
from edgelm.train.costs.figures import clock, short, size
from edgelm.train.loop.journal import read_metrics
from edgelm.train.page.chart import INKS, Line, chart, framed
from edgelm.train.page.series import Points, held, median, series, smoothed

TITLES = {"pretrain": "Pretraining", "sft": "Fine-tuning"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_EPOCHS = 12  # of which the ends are drawn


@dataclass(frozen=True)
class Chart:
    """A chart of the page."""

    title: str
    unit: str
    svg: str
    key: Sequence[Line] = ()  # lines to be told apart
    note: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Stage:
    """A stage of the page: its figures, charts, and what it came to on held-out text."""

    title: str
    figures: Mapping[str, str]
    charts: Sequence[Chart]
    results: Sequence[Mapping[str, str]]


def page(stages: Mapping[str, Path], facts: Mapping[str, Any]) -> str:
    """The page; equal input gives equal text.

    Args:
        stages: the `metrics.jsonl` of each stage by its step's name, in order. A file may be missing, empty or torn.
        facts: what is known beside, each if it is there: `name`, `shape` (in words), `parameters`, `sources` (mappings
            with `name`, `licence`, `documents`, `tokens`, `remark`), `epochs` (of a stage, by its name), `recipe`
            (specs), `command`, `machine`, `made_by`, `cautions` (sentences).

    Raises:
        MissingPackage: jinja2 is not installed.
    """
    epochs = facts.get("epochs") or {}
    read = {name: read_metrics(path) for name, path in stages.items()}
    sources = {source: None for metrics in read.values() for source in held(metrics, "loss")}
    inks = {source: INKS[1:][number % len(INKS[1:])] for number, source in enumerate(sources)}
    shown = [_stage(TITLES.get(name, name), metrics, epochs.get(name), inks) for name, metrics in read.items()]
    tokens = sum(metrics[-1].get("tokens", 0) for metrics in read.values() if metrics)
    return (
        environment(__file__, short, whole)
        .get_template("curve.html.jinja")
        .render(facts=facts, stages=shown, tokens=tokens)
    )


def whole(value: int) -> str:
    """A whole number with narrow spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")


def _stage(title: str, metrics: Sequence[Mapping[str, Any]], epochs: float | None, inks: Mapping[str, str]) -> Stage:
    charts = [each for each in (_loss(metrics, epochs, inks), _bits(metrics, inks), *_course(metrics)) if each]
    if len(charts) > 1 and len(charts) % 2 == 0:  # one would stand alone beside a gap
        charts[1] = replace(charts[1], wide=True)
    return Stage(title, _figures(metrics, epochs), charts, _results(metrics))


def _figures(metrics: Sequence[Mapping[str, Any]], epochs: float | None) -> dict[str, str]:
    """What the stage came to, in a few figures; rates are medians, of all updates but the first tenth."""
    if not metrics:
        return {}
    last, late = metrics[-1], metrics[len(metrics) // 10 :]
    figures = {"Updates": whole(last["step"]), "Tokens": short(last.get("tokens", 0))}
    if epochs:
        figures["Epochs"] = f"{epochs:.3g}"
    if losses := smoothed(series(metrics, "loss")):
        figures["Loss at the end"] = f"{losses[-1][1]:.3f}"
    if times := series(metrics, "seconds"):
        figures["Time"] = clock(times[-1][1])
    rates: dict[str, tuple[str, Callable[[float], str]]] = {
        "Tokens a second": ("tokens_per_s", short), "MFU": ("mfu", "{:.1%}".format),
    }  # fmt: skip
    for name, (key, write) in rates.items():
        if (middle := median([value for _, value in series(late, key)])) is not None:
            figures[name] = write(middle)
    if memory := series(metrics, "memory_mb"):
        figures["Memory"] = size(1e6 * max(value for _, value in memory))
    if times and (waits := series(metrics, "data_wait_s")):
        figures["Wait for data"] = f"{sum(value for _, value in waits) / max(times[-1][1], 1e-9):.1%}"
    return figures


def _loss(metrics: Sequence[Mapping[str, Any]], epochs: float | None, inks: Mapping[str, str]) -> Chart | None:
    """The training loss, as it came and smoothed, and the loss on held-out text."""
    raw = series(metrics, "loss")
    lines = [Line("training", smoothed(raw)), *_by_source(held(metrics, "loss"), inks, "{}, held out")]
    frame = framed(lines)
    if not frame:
        return None
    began = f"The first update’s loss, {raw[0][1]:.2f}, is above the frame. " if raw and raw[0][1] > frame.high else ""
    count = epochs or 0
    bounds = [number * frame.right / count for number in range(1, round(count) + 1)] if 1 < count <= MOST_EPOCHS else []
    svg = chart("Loss", [Line("training", raw, kind="noise"), *lines], frame, "{:.3f}".format, bounds=bounds)
    note = f"{began}Faint: each update; strong: the mean of those around it."
    return Chart("Loss", "nats a token", svg, lines, note + (" Upright lines end epochs." if bounds else ""), wide=True)


def _bits(metrics: Sequence[Mapping[str, Any]], inks: Mapping[str, str]) -> Chart | None:
    lines = _by_source(held(metrics, "bpb"), inks, "{}")
    frame = framed(lines)
    if not frame:
        return None
    svg = chart("Bits per byte of held-out text", lines, frame, "{:.3f}".format)
    return Chart("Held-out text", "bits per byte", svg, lines)


def _by_source(found: Mapping[str, Points], inks: Mapping[str, str], name: str) -> list[Line]:
    return [Line(name.format(source), points, inks[source], "marked") for source, points in found.items()]


def _course(metrics: Sequence[Mapping[str, Any]]) -> list[Chart | None]:
    """How the run went: rate, gradient, speed, and use of the device."""
    rates = series(metrics, "lr")
    power = math.floor(math.log10(max((value for _, value in rates if value > 0), default=1)))
    scaled = [(tokens, value / 10**power) for tokens, value in rates]
    shares = [(tokens, 100 * value) for tokens, value in series(metrics, "mfu")]
    return [
        _one(
            "Learning rate",
            f"10{str(power).translate(_RAISED)}, of the matrices" if power else "",
            scaled,
            "{:.3f}".format,
        ),
        _one("Norm of the gradient", "before clipping", series(metrics, "grad_norm"), "{:.3f}".format, smooth=True),
        _one("Speed", "tokens a second", series(metrics, "tokens_per_s"), short, smooth=True),
        _one("MFU", "% of the device’s peak", shares, "{:.1f}".format, smooth=True),
    ]


def _one(
    title: str, unit: str, points: Points, write: Callable[[float], str], *, smooth: bool = False
) -> Chart | None:  # fmt: skip
    """A chart of one quantity, from nought on."""
    line = Line(title, smoothed(points) if smooth else points)
    frame = framed([line], floor=0.0)
    if not frame:
        return None
    lines = [Line(title, points, kind="noise"), line] if smooth else [line]
    return Chart(title, unit, chart(title, lines, frame, write))


def _results(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What each source's held-out text came to: at the end, and at its best."""
    losses, bits = held(metrics, "loss"), held(metrics, "bpb")
    rows = []
    for source, points in losses.items():
        tokens, lowest = min(points, key=lambda point: point[1])
        ends = bits.get(source)
        rows.append({
            "source": source, "loss": f"{points[-1][1]:.4f}", "bpb": f"{ends[-1][1]:.4f}" if ends else "–",
            "lowest": f"{lowest:.4f}", "at": short(tokens), "first": f"{points[0][1]:.4f}",
        })  # fmt: skip
    return rows
