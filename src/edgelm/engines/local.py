"""Stock transformers, with shared beginnings read once and packed steps without padding: the fast engine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Likelihood, Reply, Request
from edgelm.engines.generate import Generation
from edgelm.engines.hf import HF, HFSession, require_numbers
from edgelm.engines.likelihood import Text, weigh
from edgelm.engines.model import Forward
from edgelm.engines.render import Truncate
from edgelm.engines.scheduler import Limits
from edgelm.engines.support import refusal, trial
from edgelm.errors import BadOption

REVISION = 1  # of what this engine computes: a change that may change an answer makes another
ROWS = {"cpu": 64, "cuda": 256}
ADMITTED = {"cpu": 2048, "cuda": 16384}  # prompt tokens read in one step
MEMORY = {"cpu": 4 * 2**30, "cuda": 16 * 2**30}


@dataclass(frozen=True)
class Local:
    """Settings of the engine; 0 stands for what suits the device.

    Attributes:
        batch: answers in the making at once.
        dtype: auto computes in FP32 on a CPU and in FP16 on a GPU, as `hf` does.
        device: auto is a GPU if there is one.
        truncate: which part of a prompt that is too long goes.
        memory: bytes that keys and values may take.
        code: run the Python code that a checkpoint brings along, with all your rights.
    """

    batch: int = 0
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    truncate: Truncate = "left"
    memory: int = 0
    code: bool = False

    def __post_init__(self) -> None:
        for name, value in (("batch", self.batch), ("memory", self.memory)):
            if value < 0:
                raise BadOption(f"{name}={value} is not possible", mend="give 1 or more; 0 is what suits the device")
        _ = self._plain

    @property
    def _plain(self) -> HF:
        """The plain engine with the same settings."""
        return HF(dtype=self.dtype, device=self.device, truncate=self.truncate, code=self.code)

    @property
    def identity(self) -> dict[str, Any]:
        """All that may change an answer."""
        plain = self._plain.identity
        device = plain["device"]
        own = {"engine": "local", "revision": REVISION, "batch": self.batch or ROWS[device]}
        return plain | own | {"memory": self.memory or MEMORY[device]}

    @contextlib.contextmanager
    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> Iterator[LocalSession]:
        """Load model and tokenizer."""
        with self._plain.open(checkpoint, prompting) as plain:
            yield LocalSession(plain, self.identity)

    def around(self, model: Any, checkpoint: Checkpoint, prompting: Prompting) -> LocalSession:
        """A session around a model that is loaded already, whose device and dtype stay what they are."""
        return LocalSession(self._plain.around(model, checkpoint, prompting), self.identity)


class LocalSession:
    """A loaded model that answers packed, or, where it cannot, as the plain engine does.

    Attributes:
        why: why the plain engine answers instead; None if it does not. Known for certain after the first question.
    """

    def __init__(self, plain: HFSession, settings: dict[str, Any]) -> None:
        self.plain, self.rendering, self.settings = plain, plain.rendering, settings
        self.why: str | None = None
        self._tried = False
        if why := refusal(plain.model, plain.rendering.generation):
            self._step_aside(why)

    @property
    def note(self) -> str | None:
        """What a report must tell of how the answers were made."""
        return f"by hf: {self.why}" if self.why else None

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        return self.rendering.text(prompt)

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answers, as they end.

        Raises:
            Unsupported: after all others, if the model's logits were not finite for some.
        """
        if not requests:
            return
        if self._can(self.rendering.prompt_ids(request) for request in requests[:3]):
            yield from Generation(self.forward, self.rendering, requests, self.limits).replies()
        else:
            for replies in self.plain.answer(requests):
                yield [replace(reply, note=self.note) for reply in replies]

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of each continuation's probability after its context, summed over its tokens, in FP32.

        Raises:
            Unsupported: a continuation fills the context, or the logits are not finite.
        """
        return [each.log for each in self.weigh([self.rendering.pair_ids(*pair) for pair in pairs])]

    def weigh(self, texts: Sequence[tuple[Sequence[int], int]]) -> list[Likelihood]:
        """How likely the last so many tokens of each text are after those before them, in FP32.

        Raises:
            Unsupported: the logits are not finite.
        """
        if not texts:
            return []
        if not self._can(ids for ids, _ in texts[:3]):
            return self.plain.weigh(texts)
        found = weigh(self.forward, [Text(tuple(ids), own) for ids, own in texts])
        require_numbers(found, texts, self.rendering)
        return found

    @cached_property
    def forward(self) -> Forward:
        """The model, running packed."""
        return Forward(self.plain.model)

    @cached_property
    def limits(self) -> Limits:
        """What a step may hold."""
        kept = self.settings["memory"] // self.forward.bytes_kept()
        return Limits(self.settings["batch"], ADMITTED[self.settings["device"]], kept)

    def _can(self, prompts: Iterable[Sequence[int]]) -> bool:
        """Whether the model runs packed: it is tried once, on the first prompts."""
        if not self._tried and not self.why and (why := trial(self.forward, list(prompts))):
            self._step_aside(why)
        self._tried = True
        return self.why is None

    def _step_aside(self, why: str) -> None:
        self.why = why
        logging.getLogger(__name__).warning("the plain engine answers instead, more slowly: %s", why)
