"""M-04: tokens are counted by us, in every run that is timed."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.devices.timing import Repeat
from edgelm.report import Workload
from edgelm.verify.result import Result


def exact_counts(repeats: Sequence[Repeat], workload: Workload, vocab: int) -> Result:
    """Valid if every run read and made exactly the tokens asked for, each of them in the vocabulary; else invalid."""
    wrong = [number for number, repeat in enumerate(repeats, 1) if not repeat.is_valid(workload, vocab)]
    found = [
        {"run": number, "prompt_tokens": repeats[number - 1].prompt_tokens, "tokens": len(repeats[number - 1].ids),
         "readings": len(repeats[number - 1].arrived_ns), "largest_id": max(repeats[number - 1].ids, default=None)}
        for number in wrong
    ]  # fmt: skip
    what = f"{len(repeats) - len(wrong)} of {len(repeats)} timed runs have exact counts and ids in the vocabulary"
    asked = {"prompt_tokens": workload.prompt_tokens, "generated_tokens": workload.generated_tokens,
             "batch": workload.batch, "vocabulary": vocab}  # fmt: skip
    return Result("M-04", "exact counts", "invalid" if wrong else "valid", what, {"asked": asked, "wrong": found})
