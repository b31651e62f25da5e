"""An engine without a model, which workers of any kind can import: it answers with a letter that follows the prompt."""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from edgelm.chat import Prompt
from edgelm.engines.base import Reply
from edgelm.errors import NoSpace, Unsupported


@dataclass(frozen=True)
class Parrot:
    """Tells what it was asked, as far as that was in this process."""

    batch: int = 4
    truncate: str = "left"
    dies_after: int | None = None  # answers, then the disk is full
    poison: str = ""  # what kills the worker that reads it
    once: Path | None = None  # a file that the first killed worker leaves, so that no other is killed
    refuses: bool = False
    note: str | None = None  # on every answer
    seconds: float = 0.0  # for each batch

    asked: ClassVar[Counter] = Counter()
    opened: ClassVar[list] = []

    @property
    def identity(self) -> dict[str, Any]:
        return {"engine": "parrot", "batch": self.batch, "truncate": self.truncate}

    @property
    def together(self) -> int:
        return self.batch

    @contextlib.contextmanager
    def open(self, checkpoint, prompting) -> Iterator["Parrot"]:
        if self.refuses:
            raise Unsupported("parrots read no such checkpoint", mend="ask an owl")
        self.opened.append(prompting)
        yield self

    def text(self, prompt: Prompt) -> str:
        return prompt.base_text()

    def answer(self, requests) -> Iterator[list[Reply]]:
        for start in range(0, len(requests), self.batch):
            if self.dies_after is not None and sum(self.asked.values()) >= self.dies_after:
                raise NoSpace("no space left")
            group = requests[start : start + self.batch]
            if self.poison and any(self.poison in request.prompt.base_text() for request in group):
                self._die()
            time.sleep(self.seconds)
            self.asked.update(request.key for request in group)
            yield [Reply(r.key, f"B {len(r.prompt.base_text()) % 3}", 2, 5, "stop", self.note) for r in reversed(group)]

    def _die(self) -> None:
        if self.once is None or not self.once.exists():
            if self.once:
                self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def loglikelihood(self, pairs) -> list[float]:
        self.asked.update(pairs)
        return [-float(len(choice)) for _, choice in pairs]


@dataclass(frozen=True)
class Mortal:
    """Another engine, whose first worker dies at its third batch."""

    inner: Any
    grave: Path

    @property
    def identity(self) -> dict[str, Any]:
        return self.inner.identity

    @property
    def together(self) -> int:
        return self.inner.together

    @contextlib.contextmanager
    def open(self, checkpoint, prompting) -> Iterator["_MortalSession"]:
        with self.inner.open(checkpoint, prompting) as session:
            yield _MortalSession(session, self.grave)


class _MortalSession:
    def __init__(self, session: Any, grave: Path) -> None:
        self.session, self.grave, self.batches = session, grave, 0

    def answer(self, requests) -> Iterator[list[Reply]]:
        for replies in self.session.answer(requests):
            self.batches += 1
            if self.batches == 3 and not self.grave.exists():
                self.grave.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield replies
