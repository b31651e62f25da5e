"""Throughput from the nanoseconds of each repeat: exact until one rounding, at the end. Rule R0.7 of the rule set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from edgelm.report import median
from edgelm.rules.base import Rules
from edgelm.score.exact import mean_or_missing, round_significant

SECOND = 10**9  # nanoseconds


@dataclass(frozen=True)
class Repeat:
    """One repeat as the harness saw it: what went in and came out, how long it took, and whether it may count."""

    prompt_tokens: int
    generated_tokens: int
    nanoseconds: int
    known_tokens: bool = True  # every id that came out is in the vocabulary
    fit_device: bool = True  # the device was in the condition that the rules ask for


def fault(rules: Rules, repeat: Repeat) -> str:
    """Why a repeat does not count; empty when it does."""
    counts, asked = (repeat.prompt_tokens, repeat.generated_tokens), (rules.prompt_tokens, rules.generated_tokens)
    if counts != asked:
        return f"{counts[0]} + {counts[1]} tokens; the rules ask for {asked[0]} + {asked[1]}"
    if repeat.nanoseconds <= 0:
        return "it took no time"
    if not repeat.known_tokens:
        return "a token that is not in the vocabulary came out"
    return "" if repeat.fit_device else "the device was not in the condition that the rules ask for"


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
