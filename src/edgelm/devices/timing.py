"""From the clock readings of repeats to the figures of a report, the same for every device."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from edgelm.errors import Unsupported
from edgelm.report import Speed, Workload

TOO_MUCH_SPREAD = 0.1  # (slowest − fastest) / median above which a measurement is marked as noisy
KIT_TOKENS = 2000  # of the starting kit's forward pass
SHOWN = 64  # stretches of a repeat whose shortest and longest wait a report keeps


@dataclass(frozen=True)
class Repeat:
    """One run of the workload: nanoseconds from its start until each token had arrived, and the tokens' ids."""

    arrived_ns: tuple[int, ...]  # one reading a generated token
    ids: tuple[int, ...]  # all sequences of the batch, token by token
    prompt_tokens: int

    def is_valid(self, workload: Workload, vocab: int) -> bool:
        """Whether both counts are exact, time goes forward, and every id is in the vocabulary."""
        return (
            self.prompt_tokens == workload.prompt_tokens
            and len(self.arrived_ns) == workload.generated_tokens
            and all(earlier <= later for earlier, later in pairwise((1, *self.arrived_ns)))
            and self.arrived_ns[0] < self.arrived_ns[-1]
            and len(self.ids) == workload.generated_tokens * workload.batch
            and all(0 <= token < vocab for token in self.ids)
        )

    @property
    def gaps(self) -> list[int]:
        """Nanoseconds between one token and the next."""
        return [later - earlier for earlier, later in pairwise(self.arrived_ns)]


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
            why="a valid one has exactly the tokens asked for, each in the vocabulary, one after the other in time",
            mend="measure again; if it stays, save the checkpoint's tokenizer and weights anew",
        )
    totals = [repeat.arrived_ns[-1] for repeat in valid]
    firsts = [repeat.arrived_ns[0] for repeat in valid]
    decoded = (workload.generated_tokens - 1) * workload.batch
    spread = (max(totals) - min(totals)) / statistics.median(totals)
    gaps = sorted(gap for repeat in valid for gap in repeat.gaps)
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
        "waits": [waits(repeat) for repeat in valid],
        **extra,
    })  # fmt: skip


def waits(repeat: Repeat, shown: int = SHOWN) -> list[tuple[int, int]]:
    """When tokens arrived and how long each had been waited for, in nanoseconds.

    Of a long repeat's `shown` stretches of equal length the shortest and the longest wait each.
    """
    points = list(zip(repeat.arrived_ns[1:], repeat.gaps, strict=True))
    if len(points) <= 2 * shown:
        return points
    bounds = [number * len(points) // shown for number in range(shown + 1)]
    stretches = [points[start:end] for start, end in pairwise(bounds)]
    ends = [(min(each, key=lambda point: point[1]), max(each, key=lambda point: point[1])) for each in stretches]
    return [point for pair in ends for point in sorted(set(pair))]
