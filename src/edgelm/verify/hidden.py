"""M-02: accuracy prompts hidden between the timed repeats. What is measured for speed must be what was scored."""

from __future__ import annotations

import math

from edgelm.verify.agreement import Agreement
from edgelm.verify.result import Result, Verdict

DEVIATIONS = 3.0  # that chance may take from a model that does not repeat itself either


def hidden_prompts(found: Agreement, itself: Agreement) -> Result:
    """Valid at the model's self-agreement; doubtful where chance may have taken what is missing; else invalid.

    A model that always repeats itself leaves nothing to chance.

    Args:
        found: of the answers between the repeats and those of the accuracy process.
        itself: of two accuracy processes, on the same questions.
    """
    verdict: Verdict = "valid"
    if found.share < itself.share:
        p, n = float(itself.share), max(1, found.of)
        slack = DEVIATIONS * math.sqrt(p * (1 - p) / n)
        verdict = "doubtful" if float(found.share) >= p - slack and slack > 0 else "invalid"
    what = f"{found} answers between the timed repeats are those of the accuracy run (itself: {itself})"
    evidence = {"between_repeats": found.as_json(), "itself": itself.as_json()}
    return Result("M-02", "hidden accuracy prompts", verdict, what, evidence)
