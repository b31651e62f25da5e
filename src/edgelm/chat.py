"""How a question becomes text: turns, and their two renderings as OpenCompass 0.3.1 makes them (chat and base)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Prompting = Literal["chat", "base"]


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Prompt:
    """Turns that end with the user's question. `base_start` is what the base rendering alone begins with."""

    turns: tuple[Turn, ...]
    base_start: str = ""

    def messages(self) -> list[dict[str, str]]:
        """The chat rendering: messages for a chat template.

        OpenCompass adds an empty system turn to every user turn and joins both by a newline, so every user turn ends
        with one newline more. Whether the model sees it depends on its template.
        """
        return [
            {"role": turn.role, "content": turn.text + "\n" if turn.role == "user" else turn.text}
            for turn in self.turns
            if turn.text
        ]

    def base_text(self) -> str:
        """The base rendering: the turns' texts joined by newlines, empty ones left out, roles ignored."""
        return self.base_start + "\n".join(turn.text for turn in self.turns if turn.text)


def ask(question: str, shots: Sequence[Turn] = ()) -> Prompt:
    """The prompt of one question behind its exemplars."""
    return Prompt((*shots, Turn("user", question)))
