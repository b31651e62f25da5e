"""M-10: the same prompts in two fresh processes. What a model does not repeat by itself, nobody can hold it to."""

from __future__ import annotations

from fractions import Fraction

from edgelm.verify.agreement import Agreement
from edgelm.verify.result import Result, Verdict

LEAST = Fraction(99, 100)  # below it the tolerance of stage 2 is widened by the spread between the runs


def self_agreement(found: Agreement) -> Result:
    """Valid from 99 % on; doubtful below, which is a flag and no fault."""
    verdict: Verdict = "valid" if found.share >= LEAST else "doubtful"
    what = f"{found} answers are the same in two fresh processes"
    return Result("M-10", "self-agreement", verdict, what, found.as_json())
