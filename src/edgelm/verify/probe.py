"""What a verification asks of a model that is loaded in a process of its own, and the two runs that it makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgelm.devices.timing import Repeat
from edgelm.engines.base import Reply, Request
from edgelm.evaluate.leases import Unit
from edgelm.report import Workload

Clock = Callable[[], int]  # nanoseconds


class Probe(Protocol):
    """A model in a process of its own. It is told prompts and workloads, never what they are for."""

    def device(self) -> str:
        """What it runs on."""
        ...

    def tokens(self, text: str) -> list[int]:
        """The token ids of a text."""
        ...

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The answers to requests that are asked together."""
        ...

    def run(self, prompt: Sequence[int], workload: Workload) -> Repeat:
        """One run of the workload on a prompt, as `edgelm measure` times it."""
        ...

    def perplexity(self, ids: Sequence[int]) -> float:
        """The perplexity of a text's token ids after the first."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """What came of a process that is only asked: answers by key, and the perplexity of the fixed text."""

    replies: Mapping[str, Reply]
    perplexity: float


@dataclass(frozen=True)
class Throughput:
    """What came of the process that is timed, by our own clock outside of it, and of what was asked in between."""

    distinct: tuple[Repeat, ...]
    distinct_ns: tuple[int, ...]
    repeated: tuple[Repeat, ...]
    repeated_ns: tuple[int, ...]
    hidden: Mapping[str, Reply]
    perplexity: float


def accuracy_run(probe: Probe, units: Sequence[Unit], text: Sequence[int]) -> Accuracy:
    """Ask all units, one after the other."""
    replies = {reply.key: reply for unit in units for reply in probe.answer(unit.requests)}
    return Accuracy(replies, probe.perplexity(text))


def throughput_run(
    probe: Probe, prompts: Sequence[Sequence[int]], workload: Workload, units: Sequence[Unit], text: Sequence[int],
    now: Clock = time.perf_counter_ns,
) -> Throughput:  # fmt: skip
    """Time a new prompt and the first one in turn, and ask a share of the units, untimed, after each.

    Which of the two goes first changes from pair to pair, so that a machine that slows down or warms up favours none.

    Args:
        probe: a fresh one.
        prompts: one more than the workload has repeats; the first warms up, and is the one that is repeated.
        workload: what each run reads and makes.
        units: that are hidden between the repeats.
        text: that is weighed in between as well.
        now: the clock.
    """
    first, *others = prompts
    probe.run(first, workload)
    runs: dict[bool, list[tuple[Repeat, int]]] = {True: [], False: []}
    hidden: dict[str, Reply] = {}
    perplexity = 0.0
    for number, prompt in enumerate(others):
        for place, again in enumerate((False, True) if number % 2 == 0 else (True, False)):
            start = now()
            repeat = probe.run(first if again else prompt, workload)
            runs[again].append((repeat, now() - start))
            for unit in units[2 * number + place :: 2 * len(others)]:
                hidden |= {reply.key: reply for reply in probe.answer(unit.requests)}
        if number == len(others) // 2:
            perplexity = probe.perplexity(text)
    (distinct, distinct_ns), (repeated, repeated_ns) = (
        tuple(zip(*runs[again], strict=True)) for again in (False, True)
    )
    return Throughput(distinct, distinct_ns, repeated, repeated_ns, hidden, perplexity)
