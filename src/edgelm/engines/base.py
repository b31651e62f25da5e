"""What an engine is: it answers prompts with a checkpoint, and says all that its answers depend on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadOption


@dataclass(frozen=True)
class Request:
    """One question to answer greedily, or to weigh its `choices`. `index` is the row's place in its data set."""

    key: str
    index: int
    prompt: Prompt
    max_tokens: int
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise BadOption(f"a cap of {self.max_tokens} tokens leaves no answer", mend="give 1 or more")


@dataclass(frozen=True)
class Reply:
    """The text that came back, cut before the stop string, with the number of tokens read and made.

    `note` says what a report must tell of how it was made, if the engine's name does not.
    """

    key: str
    text: str
    tokens: int
    prompt_tokens: int
    finish: Literal["stop", "length"]
    note: str | None = None


class Likelihood(NamedTuple):
    """How likely a text is after another: the natural log of its probability, and whether greedy answering gives it."""

    log: float
    greedy: bool


class Session(Protocol):
    """A loaded checkpoint that answers."""

    def text(self, prompt: Prompt) -> str:
        """What the model is given for a prompt, as text."""
        ...

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        """Answer all requests; replies come in groups, as they finish, in any order."""
        ...

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Natural log of the probability of each continuation after its context (both as the model is given them).

        A context too long loses its beginning; an empty one is the token that begins a text.

        Raises:
            Unsupported: a continuation fills the model's whole context, or this engine cannot weigh texts.
        """
        ...


class Engine(Protocol):
    """A plug-in of `engines/`: a frozen dataclass of settings.

    One whose answers depend on the rows that share a batch, or that answers many rows at a time faster than few, has an
    attribute `together`: so many consecutive rows (by `index`) are never parted between workers or shards.
    """

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
