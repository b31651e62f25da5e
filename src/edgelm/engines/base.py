"""What an engine is: it answers prompts with a checkpoint, and says all that its answers depend on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint


@dataclass(frozen=True)
class Request:
    """One question to answer greedily. `index` is the row's place in its data set, which fixes its batch."""

    key: str
    index: int
    prompt: Prompt
    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """The text that came back, cut before the stop string, with the number of tokens read and made."""

    key: str
    text: str
    tokens: int
    prompt_tokens: int
    finish: Literal["stop", "length"]


class Session(Protocol):
    """A loaded checkpoint that answers."""

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answer all requests; replies come in groups, as they finish, in any order."""
        ...

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of the probability of each continuation after its context (both plain text)."""
        ...


class Engine(Protocol):
    """A plug-in of `engines/`: a frozen dataclass of settings."""

    @property
    def identity(self) -> dict[str, Any]:
        """All settings that may change an answer, and the versions of what computes it."""
        ...

    def open(self, checkpoint: Checkpoint, prompting: Prompting) -> AbstractContextManager[Session]:
        """Load a checkpoint.

        Raises:
            Unsupported: this engine cannot run it.
        """
        ...
