"""Models that cheat, and an honest one, as probes without weights."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from edgelm.devices.timing import Repeat
from edgelm.engines.base import Reply
from edgelm.verify.model import Surroundings

RUN_NS = 1_000_000  # that a run takes by the clock below


class Clock:
    """Time that passes only when a probe says so."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


@dataclass
class Honest:
    """Answers with the prompt's own words, takes equally long for every run, and knows nothing of what it was asked."""

    clock: Clock = field(default_factory=Clock)
    vocab: int = 320
    runs: int = 0

    def device(self) -> str:
        return "fake"

    def tokens(self, text: str) -> list[int]:
        return [ord(sign) % self.vocab for sign in text]

    def answer(self, requests: Any) -> list[Reply]:
        return [self.reply(request) for request in requests]

    def reply(self, request: Any) -> Reply:
        return Reply(request.key, request.key[:8], 3, 5, "stop")

    def run(self, prompt: Any, workload: Any) -> Repeat:
        self.runs += 1
        self.clock.ns += self.takes(prompt)
        made = workload.generated_tokens
        return Repeat(tuple(range(1, made + 1)), (7,) * made * workload.batch, len(prompt))

    def takes(self, prompt: Any) -> int:
        return RUN_NS

    def perplexity(self, ids: Any) -> float:
        return 12.5


@dataclass
class Remembering(Honest):
    """Keeps what it made of a prompt, and gives that out when it comes again."""

    seen: set[tuple[int, ...]] = field(default_factory=set)

    def takes(self, prompt: Any) -> int:
        again = tuple(prompt) in self.seen
        self.seen.add(tuple(prompt))
        return RUN_NS // 2 if again else RUN_NS


class Hasty(Honest):
    """Once it has been timed, it answers with a smaller model."""

    def reply(self, request: Any) -> Reply:
        reply = super().reply(request)
        return Reply(reply.key, "B", 1, 5, "stop") if self.runs else reply


class Lighter(Honest):
    """Once it has been timed, it weighs texts as a smaller model does."""

    def perplexity(self, ids: Any) -> float:
        return 12.6 if self.runs else 12.5


class Short(Honest):
    """Makes one token less than it was asked for."""

    def run(self, prompt: Any, workload: Any) -> Repeat:
        whole = super().run(prompt, workload)
        return Repeat(whole.arrived_ns[:-1], whole.ids[:-1], whole.prompt_tokens)


class Foreign(Honest):
    """Makes a token that the vocabulary does not have."""

    def run(self, prompt: Any, workload: Any) -> Repeat:
        whole = super().run(prompt, workload)
        return Repeat(whole.arrived_ns, (self.vocab, *whole.ids[1:]), whole.prompt_tokens)


def restless() -> Callable[..., Honest]:
    """Processes of a model that answers otherwise in each of them."""
    numbers = itertools.count()

    @dataclass
    class Restless(Honest):
        number: int = field(default_factory=lambda: next(numbers))

        def reply(self, request: Any) -> Reply:
            return Reply(request.key, f"{request.key[:4]} {self.number}", 3, 5, "stop")

    return Restless


def started(make: Callable[..., Honest]) -> Surroundings:
    """What stands in for fresh processes and the machine's clock: a new probe each time, and its time."""
    clock = Clock()

    @contextlib.contextmanager
    def start(job: Any) -> Iterator[Any]:
        yield make(clock)

    return Surroundings(start, clock)
