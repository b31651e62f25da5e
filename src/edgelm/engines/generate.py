"""Greedy answers to many requests at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import torch

from edgelm.engines.base import Reply, Request
from edgelm.engines.greedy import FAILED, Choice
from edgelm.engines.model import Forward
from edgelm.engines.render import Rendering
from edgelm.engines.scheduler import Limits
from edgelm.engines.steps import Packing
from edgelm.engines.stopping import Ending
from edgelm.errors import Unsupported


class Generation:
    """One run over some requests."""

    def __init__(self, forward: Forward, rendering: Rendering, requests: Sequence[Request], limits: Limits) -> None:
        self.rendering, self.requests = rendering, requests
        # Four bytes a token: thousands of long prompts as lists would take gigabytes.
        self.prompts = [array("i", rendering.prompt_ids(request)) for request in requests]
        self.packing = Packing(forward, self.prompts, [request.max_tokens for request in requests], limits)
        self.endings = [Ending(request, rendering.tokenizer, rendering.ends) for request in requests]
        self.choice = Choice(rendering.generation.repetition_penalty or 1.0, limits.rows)
        self.failed: list[int] = []

    def replies(self) -> Iterator[list[Reply]]:
        """The answers, as they end.

        Raises:
            Unsupported: after all others have been given, if the logits of a row were not finite.
        """
        while not self.packing.schedule.done:
            if replies := [self._reply(row) for row in self._step()]:
                yield replies
        if self.failed:
            first = self.requests[min(self.failed)]
            raise Unsupported(
                f"the model's logits are not finite for {len(self.failed)} of {len(self.requests)} questions",
                why=f"the first is row {first.index}; in 16 bits numbers may grow too large",
                mend="use dtype=float32 or dtype=bfloat16; the other answers are kept",
            )

    @torch.inference_mode()
    def _step(self) -> list[int]:
        """One token more for every running row; returns the rows whose answer is complete with it."""
        rows, logits_RV = self.packing.step()
        made = self.packing.made
        tokens = self.choice.tokens(rows, logits_RV, [made[row][-1:] or self.prompts[row] for row in rows])
        self.packing.add(rows, tokens)
        failed = [row for row in rows if made[row][-1] == FAILED]
        complete = [row for row in rows if made[row][-1] != FAILED and self.endings[row].reached(made[row])]
        self.packing.end([*complete, *failed])
        self.choice.forget([*complete, *failed])
        self.failed += failed
        return complete

    def _reply(self, row: int) -> Reply:
        return self.rendering.reply(self.requests[row], self.packing.made[row], len(self.prompts[row]))
