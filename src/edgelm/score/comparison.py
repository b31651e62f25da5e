"""What compression cost and bought: a submission beside the uncompressed base that it came from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from edgelm.rules.base import Rules, Track
from edgelm.score.entries import THROUGHPUT, Entry, mean_score, ranked_scores


@dataclass(frozen=True)
class Comparison:
    """Differences of scores in percentage points, and ratios to the reference; None where either side is missing."""

    scores: dict[str, Fraction | None]
    mean: Fraction | None
    throughput: Fraction | None
    peak_memory: Fraction | None
    parameters: Fraction | None
    bytes: Fraction | None


def compare(rules: Rules, track: Track, entry: Entry, reference: Entry, void: Collection[str] = ()) -> Comparison:
    """The entry minus the reference in scores, and the entry over the reference in all else."""
    own, base = ranked_scores(rules, track, entry, void), ranked_scores(rules, track, reference, void)
    return Comparison(
        scores={task: _difference(score, base[task]) for task, score in own.items() if task != THROUGHPUT},
        mean=_difference(mean_score(own), mean_score(base)),
        throughput=_ratio(own.get(THROUGHPUT), base.get(THROUGHPUT)),
        peak_memory=_ratio(entry.peak_memory, reference.peak_memory),
        parameters=_ratio(entry.parameters, reference.parameters),
        bytes=_ratio(entry.bytes, reference.bytes),
    )


def _difference(value: Fraction | None, base: Fraction | None) -> Fraction | None:
    return None if value is None or base is None else value - base


def _ratio(value: Fraction | int | None, base: Fraction | int | None) -> Fraction | None:
    return Fraction(value) / base if value and base else None
