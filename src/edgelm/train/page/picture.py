"""The loss of a run as a PNG, for where a page cannot go: a talk, a message, a README."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgelm.errors import MissingPackage
from edgelm.files import disk_errors
from edgelm.train.costs.figures import short
from edgelm.train.loop.journal import read_metrics
from edgelm.train.page.chart import Line, framed
from edgelm.train.page.curve import TITLES
from edgelm.train.page.series import held, series, smoothed, thinned

PAPER, INK, MUTED, GRID, ACCENT = "#fdfcfa", "#1d1e20", "#63666c", "#dedbd4", "#1c5d7d"
_SETTINGS = {
    "font.size": 11, "text.color": INK, "axes.edgecolor": GRID, "xtick.color": MUTED, "ytick.color": MUTED,
    "figure.facecolor": PAPER, "axes.facecolor": PAPER,
}  # fmt: skip
OTHERS = ("#b0660a", "#2f7a46", "#a3342a", "#63666c")  # held-out sources


def draw(stages: Mapping[str, Path], out: Path, name: str = "") -> None:
    """Write the PNG: one panel a stage, training and held-out loss over tokens.

    Args:
        stages: the `metrics.jsonl` of each stage by its step's name; those without a line get no panel.
        out: the file to write.
        name: of the run.

    Raises:
        MissingPackage: matplotlib is not installed.
        NoSpace: the disk is full.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackage("matplotlib", "page") from None
    read = {stage: metrics for stage, path in stages.items() if (metrics := read_metrics(path))}
    sources = dict.fromkeys(source for metrics in read.values() for source in held(metrics, "loss"))
    inks = {source: OTHERS[number % len(OTHERS)] for number, source in enumerate(sources)}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(8.0, 4.5), dpi=160, layout="constrained")
        panels = figure.subplots(1, max(1, len(read)), squeeze=False)[0]
        for panel, (stage, metrics) in zip(panels, read.items(), strict=False):
            _panel(panel, metrics, inks)
            panel.set_title(TITLES.get(stage, stage), loc="left", fontsize=11, color=MUTED)
        figure.suptitle(f"{name}: loss, nats a token" if name else "Loss, nats a token", x=0.01, ha="left")
        named = {line.get_label(): line for panel in panels for line in panel.get_lines() if line.get_gid()}
        figure.legend(named.values(), named, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
        with disk_errors(out):
            figure.savefig(out, format="png", metadata={"Software": None})


def _panel(panel: Any, metrics: list[dict[str, Any]], inks: Mapping[str, str]) -> None:
    raw = series(metrics, "loss")
    lines = [
        Line("training", smoothed(raw)),
        *(Line(source, points) for source, points in held(metrics, "loss").items()),
    ]
    panel.plot(*_columns(thinned(raw)), color=ACCENT, linewidth=0.6, alpha=0.3)
    for line in lines:
        kept = line.name in inks
        marks = {"marker": "o", "markersize": 3, "linewidth": 1.2} if kept else {"linewidth": 1.8}
        label = f"{line.name}, held out" if kept else line.name
        panel.plot(*_columns(thinned(line.points)), color=inks.get(line.name, ACCENT), label=label, gid=label, **marks)
    if frame := framed(lines):
        panel.set(xlim=(0, frame.right), ylim=(frame.low, frame.high))
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.grid(axis="y", color=GRID, linewidth=0.7)
    panel.tick_params(length=0)
    panel.xaxis.set_major_formatter(lambda tokens, _: short(tokens))
    panel.set_xlabel("tokens", color=MUTED, loc="right")


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [tokens for tokens, _ in points], [value for _, value in points]
