"""M-05: a fixed text weighed where the model is timed and where it answers: the same model weighs it alike."""

from __future__ import annotations

import math

from edgelm.verify.result import Result

APART = 0.005  # of the accuracy process's perplexity, that the other may be


def same_perplexity(accuracy: float, throughput: float) -> Result:
    """Valid if the two perplexities are within 0.5 %; invalid if not, or if one is no number."""
    sound = all(math.isfinite(each) and each > 0 for each in (accuracy, throughput))
    apart = abs(throughput / accuracy - 1) if sound else math.inf
    what = f"perplexity {throughput:.4g} in the timed process, {accuracy:.4g} in the accuracy process"
    evidence = {"accuracy": str(accuracy), "throughput": str(throughput)}  # as text: JSON has no infinities
    return Result("M-05", "perplexity of a fixed text", "valid" if apart <= APART else "invalid", what, evidence)
