"""What a report says beside throughput, which is shown and never ranked. Rule R0.8 of the rule set."""

from __future__ import annotations

from fractions import Fraction
from statistics import median

from edgelm.report import Report, Speed
from edgelm.score.entries import Beside
from edgelm.score.exact import round_significant

_DIGITS = 6  # that are kept of a figure which a report holds as a float


def beside(report: Report) -> Beside:
    """The figures of a report: times from its repeats, exact; all else as it says it."""
    return _of_speed(report.speed, report.memory) if report.speed else Beside(memory=report.memory)


def _of_speed(speed: Speed, memory: dict[str, int]) -> Beside:
    work, extra = speed.workload, speed.model_extra or {}
    firsts, totals = speed.first_token_ns, speed.repeats_ns
    decoding = [total - first for total, first in zip(totals, firsts, strict=False) if total > first]
    prompt, decoded = work.prompt_tokens * work.batch, (work.generated_tokens - 1) * work.batch
    kit = extra.get("kit-2024")
    return Beside(
        prefill=median(Fraction(prompt * 10**9, first) for first in firsts),
        decode=median(Fraction(decoded * 10**9, taken) for taken in decoding) if decoding else None,
        first_token_ns=round(median(map(Fraction, firsts))),
        spread=(max(totals) - min(totals)) / median(map(Fraction, totals)),
        kit_2024=_figure(kit.get("inferences_per_second") if isinstance(kit, dict) else None),
        bytes_per_token=_figure(extra.get("bytes_per_token")),
        memory=memory,
    )


def _figure(value: object) -> Fraction | None:
    """A number of zero or more out of a report's free fields; None for anything else, or one larger than any count."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return None
    return round_significant(Fraction(value), _DIGITS)
