"""Prompts of timed runs: exact lengths, ever another text, the same for a whole track."""

from __future__ import annotations

import pytest

from edgelm.errors import Unsupported
from edgelm.verify.prompts import timed_prompts
from edgelm.verify.seed import Seed

SEED = Seed(bytes(range(16)))


def encode(text: str) -> list[int]:
    return [ord(sign) for sign in text]


def prompts(seed: Seed = SEED, track: str = "compression", tokens: int = 200) -> list[list[int]]:
    return timed_prompts(seed, track, encode, count=4, tokens=tokens, vocab=70_000)


def test_prompts_differ_have_exactly_so_many_tokens_and_follow_from_seed_and_track() -> None:
    made = prompts()
    assert [len(prompt) for prompt in made] == [200] * 4 and len(set(map(tuple, made))) == 4
    assert made == prompts()
    assert not any(prompt in prompts(track="from-scratch") + prompts(Seed(bytes(16))) for prompt in made)


def test_a_long_prompt_takes_the_text_as_often_as_it_needs() -> None:
    assert [len(prompt) for prompt in prompts(tokens=20_000)] == [20_000] * 4


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    with pytest.raises(Unsupported, match="the model has rows for 50"):
        timed_prompts(SEED, "compression", encode, count=1, tokens=200, vocab=50)
