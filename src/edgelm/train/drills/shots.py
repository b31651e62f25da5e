"""Few-shot prompts for drills: half of them show the drills that came before as exemplars, half show none."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from edgelm.chat import Prompt, Turn, ask


@dataclass
class Shots:
    """The last drills of one kind."""

    number: int  # of exemplars, as the task shows
    draw: random.Random
    last: deque[tuple[str, str]] = field(default_factory=deque)

    def shown(self, question: str, answer: str) -> list[tuple[str, str]]:
        """The exemplars of a question, which becomes one of the next."""
        ready = len(self.last) == self.number
        exemplars = list(self.last) if ready and self.draw.random() < 0.5 else []
        if ready:
            self.last.popleft()
        self.last.append((question, answer))
        return exemplars

    def asked(self, question: str, answer: str) -> Prompt:
        """The question behind its exemplars, each a turn and its answer."""
        turns = [turn for asked, given in self.shown(question, answer)
                 for turn in (Turn("user", asked), Turn("assistant", given))]  # fmt: skip
        return ask(question, turns)
