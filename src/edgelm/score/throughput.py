"""Throughput from the nanoseconds of each repeat: exact until one rounding, at the end. Rule R0.7 of the rule set."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from edgelm.report import median
from edgelm.rules.base import Rules
from edgelm.score.exact import mean_or_missing, round_significant

SECOND = 10**9  # nanoseconds


def model_throughput(rules: Rules, nanoseconds: Sequence[int]) -> Fraction | None:
    """Tokens a second of one model, unrounded: the median of its valid repeats; None if these are too few."""
    if len(nanoseconds) < rules.repeats:
        return None
    tokens = (rules.prompt_tokens + rules.generated_tokens) * rules.batch
    return median([Fraction(tokens * SECOND, each) for each in nanoseconds])


def ranked_throughput(figures: Sequence[Fraction | None]) -> Fraction | None:
    """What is ranked of a submission: the mean over its slots, a model without a figure counting 0, rounded once."""
    mean = mean_or_missing(figures)
    return None if mean is None else round_significant(mean)
