from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.healing.lessons import lessons, teacher_of, text_of

TEXT = [[1] * 10, [2] * 20, [3] * 30, [4] * 40]


def test_every_sequence_once_before_one_comes_again() -> None:
    order = lessons(TEXT, 1000, 3, "0")
    flat = [number for lesson in order for number in lesson]
    assert Counter(flat) == dict.fromkeys(range(4), 10)
    assert all(sorted(flat[start : start + 4]) == [0, 1, 2, 3] for start in range(0, 40, 4))
    assert flat[:4] != flat[4:8] or flat[:4] != flat[8:12]
    assert {len(lesson) for lesson in order[:-1]} == {3}


@pytest.mark.parametrize("tokens", [1, 55, 100, 101, 999])
def test_no_more_is_read_than_asked_for(tokens: int) -> None:
    flat = [number for lesson in lessons(TEXT, tokens, 2, "0") for number in lesson]
    assert sum(len(TEXT[number]) for number in flat[:-1]) < tokens <= sum(len(TEXT[number]) for number in flat)


def test_the_seed_decides() -> None:
    one, same, other = (lessons(TEXT, 2000, 4, seed) for seed in ("a", "a", "b"))
    assert one == same != other


def test_the_teacher_has_the_tokens_that_are_left(
    checkpoint: Checkpoint, opened: Any, logits: Any, batches: list[list[int]]
) -> None:
    model, base = opened(checkpoint), opened(checkpoint)
    model.base = base
    kept = sorted({5, 11, *batches[0]}, reverse=True)
    model.keep_rows(kept)
    model.idmap = kept
    new_ids = [kept.index(token) for token in batches[0]]
    assert torch.allclose(logits(teacher_of(model), new_ids), logits(base, batches[0])[:, kept], atol=1e-5)
    assert base.config["vocab_size"] == checkpoint.shape.vocab


def test_text_is_healing_text_if_there_is_some(model: Any) -> None:
    model.healing = None
    assert text_of(model, TEXT, 7) is TEXT
    model.healing = lambda tokens: [[tokens] * tokens]
    assert text_of(model, TEXT, 7) == [[7] * 7]
    model.healing = lambda tokens: []
    assert text_of(model, TEXT, 7) is TEXT
