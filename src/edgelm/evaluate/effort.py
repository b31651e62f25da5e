"""Where the tokens and seconds of an evaluation went, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgelm.report import Answer


@dataclass(frozen=True)
class Effort:
    """What one task took. `seconds` is None where no run of it is on record."""

    task: str
    answers: int
    read: int  # tokens of all prompts
    made: int  # tokens of all answers
    capped: int  # answers that the cap ended
    beyond: int  # answers that ran past the model's context
    filled: int  # prompts that filled the context, and may have lost their beginning
    seconds: float | None = None

    @property
    def tokens(self) -> int:
        """Read and made."""
        return self.read + self.made


def efforts(
    answers: Mapping[str, Sequence[Answer]], seconds: Mapping[str, float], context: int | None = None
) -> list[Effort]:
    """What each task took; `context` is how many tokens the model was made for."""
    return [_effort(task, own, seconds.get(task), context) for task, own in answers.items()]


def _effort(task: str, answers: Sequence[Answer], seconds: float | None, context: int | None) -> Effort:
    limit = context or float("inf")
    return Effort(
        task=task, answers=len(answers), read=sum(each.prompt_tokens for each in answers),
        made=sum(each.tokens for each in answers), capped=sum(each.finish == "length" for each in answers),
        beyond=sum(each.prompt_tokens + each.tokens > limit for each in answers),
        filled=sum(each.prompt_tokens >= limit for each in answers), seconds=seconds,
    )  # fmt: skip
