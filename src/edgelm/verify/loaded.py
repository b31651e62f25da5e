"""A probe over a session of an engine whose model lies open: `hf` or `local`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from edgelm.devices import clock
from edgelm.devices.timing import Repeat
from edgelm.engines.base import Reply, Request
from edgelm.engines.hf import HFSession
from edgelm.engines.local import LocalSession
from edgelm.errors import Unsupported
from edgelm.evaluate.asking import answer
from edgelm.report import Workload


class Loaded:
    """One loaded model that is asked, timed and weighed.

    Raises:
        Unsupported: the engine keeps its model to itself, so that it cannot be timed as it answers.
    """

    def __init__(self, session: Any) -> None:
        if not isinstance(session, HFSession | LocalSession):
            raise Unsupported(f"a {type(session).__name__} cannot be timed and asked in one process",
                              mend="use --engine hf or --engine local")  # fmt: skip
        self._session = session
        self._model = session.plain.model if isinstance(session, LocalSession) else session.model

    def device(self) -> str:
        """The processor, or the name of the GPU."""
        place = self._model.device
        return torch.cuda.get_device_name(place) if place.type == "cuda" else str(place)

    def tokens(self, text: str) -> list[int]:
        """The token ids of a text."""
        return list(self._session.rendering.ids(text))

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The answers to requests that are asked together."""
        return [reply for replies in answer(self._session, requests) for reply in replies]

    def run(self, prompt: Sequence[int], workload: Workload) -> Repeat:
        """One run of the workload."""
        return clock.run(self._model, prompt, workload)

    def perplexity(self, ids: Sequence[int]) -> float:
        """The perplexity of all tokens after the first; infinite where it is too large for a number."""
        own = len(ids) - 1
        try:
            return math.exp(-self._session.weigh([(list(ids), own)])[0].log / own)
        except OverflowError:
            return math.inf
