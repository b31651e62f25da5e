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

NOT_FINITE = "none: the model's logits are not finite, as too large numbers make them in 16 bits; try dtype=float32"


class Generation:
    """One run over some requests. A row whose logits are not finite fails alone: its answer is empty, and says so."""

    def __init__(self, forward: Forward, rendering: Rendering, requests: Sequence[Request], limits: Limits) -> None:
        self.rendering, self.requests = rendering, requests
        # Four bytes a token: thousands of long prompts as lists would take gigabytes.
        self.prompts = [array("i", rendering.prompt_ids(request)) for request in requests]
        self.packing = Packing(forward, self.prompts, [request.max_tokens for request in requests], limits)
        self.endings = [Ending(request, rendering.tokenizer, rendering.ends) for request in requests]
        self.choice = Choice(rendering.generation.repetition_penalty or 1.0, limits.rows)

    def replies(self) -> Iterator[list[Reply]]:
        """The answers, as they end."""
        while not self.packing.schedule.done:
            if replies := [self._reply(row) for row in self._step()]:
                yield replies

    @torch.inference_mode()
    def _step(self) -> list[int]:
        """One token more for every running row; returns the rows whose answer is complete with it."""
        rows, logits_RV = self.packing.step()
        made = self.packing.made
        tokens = self.choice.tokens(rows, logits_RV, [made[row][-1:] or self.prompts[row] for row in rows])
        self.packing.add(rows, tokens)
        complete = [row for row in rows if made[row][-1] == FAILED or self.endings[row].reached(made[row])]
        self.packing.end(complete)
        self.choice.forget(complete)
        return complete

    def _reply(self, row: int) -> Reply:
        request, made, read = self.requests[row], self.packing.made[row], len(self.prompts[row])
        if made[-1] == FAILED:
            return Reply(request.key, "", len(made) - 1, read, "stop", NOT_FINITE)
        return self.rendering.reply(request, made, read)
