"""The leaderboard as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from edgelm.pages import environment
from edgelm.rules.base import Rules
from edgelm.score.comparison import compare
from edgelm.score.entries import THROUGHPUT, Entry, mean_score, ranked_scores
from edgelm.score.plots import Kind, Point, scatter
from edgelm.score.standings import Standings
from edgelm.score.text import (
    GIB,
    MIB,
    count,
    exact,
    milliseconds,
    ordinal,
    percent,
    signed,
    significant,
    size,
    times,
    two,
)

TEMPLATE = "page.html.jinja"
WRITTEN = (
    two,
    exact,
    significant,
    ordinal,
    size,
    count,
    signed,
    times,
    milliseconds,
    percent,
)  # filters


def render(rules: Rules, standing: Standings, entries: Iterable[Entry], reference: Entry | None = None) -> str:
    """The page of one track's standings; equal input gives equal text.

    `entries` are those that the standings were computed from. `reference` is the uncompressed base: it is drawn and
    listed beside the teams, without a rank.

    Raises:
        MissingPackage: jinja2 or matplotlib is not installed.
    """
    by_id = {entry.submission: entry for entry in entries}
    track = rules.track(standing.track)
    tasks = [task for task in rules.weights if task in standing.tasks]
    left_out = _left_out(rules, standing)
    comparisons = [
        (by_id[row.submission], compare(rules, track, by_id[row.submission], reference, left_out))
        for row in standing.board
        if reference
    ]
    return (
        environment(__file__, *WRITTEN)
        .get_template(TEMPLATE)
        .render(
            rules=rules,
            standing=standing,
            entries=by_id,
            tasks=tasks,
            percent_tasks=[task for task in tasks if task != THROUGHPUT],
            plots=_plots(rules, standing, by_id, reference),
            reference=reference,
            reference_scores=ranked_scores(rules, track, reference, left_out) if reference else {},
            comparisons=comparisons,
            mean_score=mean_score,
            why={row.submission: row.why for row in standing.board},
        )
    )


def _left_out(rules: Rules, standing: Standings) -> set[str]:
    """What no figure of the page may rest on: void tasks, and the hold-outs while they are not shown."""
    return {*standing.void, *(task for task in rules.weights if task not in standing.tasks)}


def _plots(rules: Rules, standing: Standings, by_id: dict[str, Entry], reference: Entry | None) -> list[str]:
    """Mean score over throughput, and over peak memory, of every eligible submission that has both."""
    track, left_out = rules.track(standing.track), _left_out(rules, standing)
    marks: list[tuple[Entry, Kind]] = [
        (by_id[row.submission], "board" if row.represents else "other") for row in standing.submissions
    ]
    if reference:
        marks.append((reference, "reference"))
    largest = max((entry.peak_memory or 0 for entry, _ in marks), default=0)
    unit, scale = ("GiB", GIB) if largest >= 2 * GIB else ("MiB", MIB)
    speeds, peaks = [], []
    for entry, kind in marks:
        scores = ranked_scores(rules, track, entry, left_out)
        mean, speed, peak = mean_score(scores), scores.get(THROUGHPUT), entry.peak_memory
        if mean is not None and speed is not None:
            speeds.append(Point(float(speed), float(mean), entry.team, kind))
        if mean is not None and peak is not None:
            peaks.append(Point(peak / scale, float(mean), entry.team, kind))
    plots = []
    if speeds:
        label = "Throughput, tokens/s (more is better →)"
        plots.append(scatter(speeds, x_label=label, better="more", title="Mean score over throughput"))
    if peaks:
        label = f"Peak memory, {unit} (← less is better)"
        plots.append(scatter(peaks, x_label=label, better="less", title="Mean score over peak memory"))
    return plots
