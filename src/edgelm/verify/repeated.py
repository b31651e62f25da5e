"""M-03: one prompt, repeated, beside prompts that are never the same. Who remembers answers is faster at the first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from edgelm.verify.result import Result, Verdict

FASTER = 1.10  # that the repeated prompt may be
RUNS = 3  # of a kind, that a spread is read from


def repeated_prompt(distinct_ns: Sequence[int], repeated_ns: Sequence[int]) -> Result:
    """Valid if the repeated prompt is at most 10 % faster, by medians; invalid if it is more, and no noise explains it.

    Noise is what runs of one kind differ by among themselves. Where it is as large as the difference, or there are too
    few runs to see it, the machine is too restless to tell: doubtful.

    Args:
        distinct_ns: nanoseconds of each run with a prompt of its own.
        repeated_ns: of each run with one and the same prompt.
    """
    distinct, repeated = statistics.median(distinct_ns), statistics.median(repeated_ns)
    times = distinct / repeated
    noise = max(max(runs) - min(runs) for runs in (distinct_ns, repeated_ns))
    seen = min(len(distinct_ns), len(repeated_ns)) >= RUNS
    verdict: Verdict = "valid"
    if times > FASTER:
        verdict = "invalid" if seen and distinct - repeated > noise else "doubtful"
    change = 100 * (times - 1)
    what = f"a repeated prompt is {abs(change):.1f} % {'faster' if change > 0 else 'slower'} than distinct ones"
    what += f"; runs of one kind differ by {100 * noise / repeated:.1f} %" if seen else f", by fewer than {RUNS} runs"
    evidence = {"distinct_ns": list(distinct_ns), "repeated_ns": list(repeated_ns), "times_as_fast": times}
    return Result("M-03", "one prompt repeated", verdict, what, evidence)
