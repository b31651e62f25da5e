"""From the clock readings of repeats to the figures of a report, the same for every device."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgelm.errors import Unsupported
from edgelm.report import Speed, Workload

TOO_MUCH_SPREAD = 0.1  # (slowest − fastest) / median above which a measurement is marked as noisy


@dataclass(frozen=True)
class Repeat:
    """One run of the workload: nanoseconds from its start until each token had arrived, and the tokens' ids."""

    arrived_ns: tuple[int, ...]  # one reading a generated token
    ids: tuple[int, ...]  # all sequences of the batch, token by token
    prompt_tokens: int

    def is_valid(self, workload: Workload, vocab: int) -> bool:
        """Whether both counts are exact and every id is in the vocabulary."""
        return (
            self.prompt_tokens == workload.prompt_tokens
            and len(self.arrived_ns) == workload.generated_tokens
            and len(self.ids) == workload.generated_tokens * workload.batch
            and all(0 <= token < vocab for token in self.ids)
        )


def speed_of(workload: Workload, device: str, repeats: Sequence[Repeat], vocab: int, **extra: Any) -> Speed:
    """The figures of all valid repeats, with `extra` fields beside them.

    Prefill is prompt tokens over the time to the first token; decode is the tokens after the first over the time after
    it; both are medians over the repeats. Inter-token times are pooled over all repeats.

    Raises:
        Unsupported: no repeat is valid.
    """
    valid = [repeat for repeat in repeats if repeat.is_valid(workload, vocab)]
    if not valid:
        raise Unsupported(
            f"none of {len(repeats)} repeats on {device} is valid",
            why="a valid one has exactly the tokens asked for, each in the vocabulary",
            mend="measure again; if it stays, save the checkpoint's tokenizer and weights anew",
        )
    totals = [repeat.arrived_ns[-1] for repeat in valid]
    firsts = [repeat.arrived_ns[0] for repeat in valid]
    decoded = (workload.generated_tokens - 1) * workload.batch
    spread = (max(totals) - min(totals)) / statistics.median(totals)
    gaps = sorted(
        later - earlier
        for repeat in valid
        for earlier, later in zip(repeat.arrived_ns, repeat.arrived_ns[1:], strict=False)
    )
    return Speed.model_validate({
        "workload": workload,
        "device": device,
        "repeats_ns": totals,
        "first_token_ns": firsts,
        "prefill": statistics.median(workload.prompt_tokens * workload.batch * 1e9 / first for first in firsts),
        "decode": statistics.median(
            decoded * 1e9 / (total - first) for total, first in zip(totals, firsts, strict=True)
        ),
        "spread": spread,
        "valid_repeats": len(valid),
        "noisy": spread > TOO_MUCH_SPREAD,
        "inter_token_median_ns": round(statistics.median(gaps)),
        "inter_token_p95_ns": gaps[math.ceil(0.95 * len(gaps)) - 1],
        **extra,
    })  # fmt: skip
