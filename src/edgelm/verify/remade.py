"""The stored answers made again: a sample that nobody could foresee, asked of the model that was handed in."""

from __future__ import annotations

from fractions import Fraction

from edgelm.verify.agreement import Agreement
from edgelm.verify.result import Result, Verdict

CLOSE = Fraction(9, 10)  # of the self-agreement: another machine's rounding turns few answers, another model's most


def remade(found: Agreement, itself: Agreement, *, same_engine: bool) -> Result:
    """Whether the stored answers are this model's.

    Valid at its self-agreement; doubtful a little below it, or wherever the engine is not the one that they were made
    with; else invalid. Without a stored answer nothing is tested.

    Args:
        found: of stored answers and answers made now.
        itself: of the model with itself, on the same questions.
        same_engine: whether now and then are the same settings and versions.
    """
    verdict: Verdict
    if not found.of:
        verdict = "not tested"
    elif found.share >= itself.share:
        verdict = "valid"
    else:
        verdict = "doubtful" if found.share >= CLOSE * itself.share or not same_engine else "invalid"
    engine = "" if same_engine else ", by another engine than they were made with"
    what = f"{found} stored answers come out again{engine} (itself: {itself})"
    evidence = {"stored": found.as_json(), "itself": itself.as_json(), "same_engine": same_engine}
    return Result("answers", "stored answers made again", verdict, what, evidence)
