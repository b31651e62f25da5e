"""A competition small enough for a laptop: three tasks, throughput twice, one small model a submission."""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.rules.base import Rules, Track


@dataclass(frozen=True)
class Miniature(Rules):
    """The rules of the demo: the same scoring as the real ones over the miniature suite.

    A rehearsal comes to its final board on one day: nobody waits for objections.
    """

    name: str = "miniature"
    tracks: tuple[Track, ...] = (
        Track("compression", "compressed", ("base",)),
        Track("from-scratch", "from-scratch", ("model",)),
    )
    tasks: tuple[str, ...] = ("commonsenseqa", "gsm8k", "chid")
    suite: str = "miniature-1"
    versions: tuple[str, ...] = ()  # they follow from the seed and the number of rows
    prompt_tokens: int = 192
    generated_tokens: int = 64
    repeats: int = 3
    objection_days: int = 0
    training_data: tuple[str, ...] = ("c4", "alpaca", "alpaca-zh", "miniature")
