"""When an answer is over: an end token, a stop string in its last tokens, or its cap."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from edgelm.engines.base import Request

MARGIN = 8  # further tokens decoded, for those that are part of a character or leave no text


class Ending:
    """The ending of one request's answer."""

    def __init__(self, request: Request, tokenizer: Any, ends: Collection[int], skip_special: bool) -> None:
        self.cap, self.stop, self.tokenizer, self.ends = request.max_tokens, request.stop, tokenizer, ends
        self.skip_special = skip_special
        # A token that leaves text leaves a byte or more, so a stop string is over within so many tokens.
        self._tail = max((len(stop.encode()) for stop in request.stop), default=0) + MARGIN

    def reached(self, made: Sequence[int]) -> bool:
        """Whether the token that was made last ends the answer."""
        return made[-1] in self.ends or len(made) >= self.cap or self._stopped(made)

    def _stopped(self, made: Sequence[int]) -> bool:
        if not self.stop:
            return False
        text = self.tokenizer.decode(made[-self._tail :], skip_special_tokens=self.skip_special)
        return any(stop in text for stop in self.stop)
