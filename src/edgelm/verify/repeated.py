"""M-03: one prompt, repeated, beside prompts that are never the same. Who remembers answers is faster at the first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from edgelm.verify.result import Result, Verdict

FASTER = 1.10  # that the repeated prompt may be


def repeated_prompt(distinct_ns: Sequence[int], repeated_ns: Sequence[int]) -> Result:
    """Valid if the repeated prompt is at most 10 % faster; invalid if it is more, and every run of it was the faster.

    Where it seems faster while runs of both kinds overlap, the machine is too restless to tell: doubtful.

    Args:
        distinct_ns: nanoseconds of each run with a prompt of its own.
        repeated_ns: of each run with one and the same prompt.
    """
    times = statistics.median(distinct_ns) / statistics.median(repeated_ns)
    verdict: Verdict = "valid"
    if times > FASTER:
        verdict = "invalid" if min(distinct_ns) > max(repeated_ns) else "doubtful"
    change = 100 * (times - 1)
    what = f"a repeated prompt is {abs(change):.1f} % {'faster' if change > 0 else 'slower'} than distinct ones"
    evidence = {"distinct_ns": list(distinct_ns), "repeated_ns": list(repeated_ns), "times_as_fast": times}
    return Result("M-03", "one prompt repeated", verdict, what, evidence)
