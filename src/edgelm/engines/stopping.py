"""When an answer is over: an end token, a stop string in its last tokens, or its cap."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from edgelm.engines.base import Request

MARGIN = 8  # further tokens decoded, for those that are part of a character or leave no text


class Ending:
    """The ending of one request's answer. A stop string may be, or be part of, a special token's text."""

    def __init__(self, request: Request, tokenizer: Any, ends: Collection[int]) -> None:
        self.cap, self.stop, self.tokenizer, self.ends = request.max_tokens, request.stop, tokenizer, ends
        # A token that leaves text leaves a byte or more, so a stop string is over within so many tokens.
        self._tail = max((len(stop.encode()) for stop in request.stop), default=0) + MARGIN

    def reached(self, made: Sequence[int]) -> bool:
        """Whether the token that was made last ends the answer."""
        return made[-1] in self.ends or len(made) >= self.cap or self.stopped(made)

    def part(self, made: Sequence[int]) -> Sequence[int]:
        """The tokens up to and with the one that completes the first stop string; what follows is padding."""
        if not self.stop:
            return made
        return made[: next((n for n in range(1, len(made)) if self.stopped(made[:n])), len(made))]

    def stopped(self, made: Sequence[int]) -> bool:
        """Whether a stop string stands in the last tokens."""
        if not self.stop:
            return False
        text = self.tokenizer.decode(made[-self._tail :])
        return any(stop in text for stop in self.stop)
