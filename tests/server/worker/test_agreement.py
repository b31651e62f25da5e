"""How far a model repeats itself: by whole answers, and by the tokens before answers part."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

from hypothesis import given
from hypothesis import strategies as st

from edgelm.server.worker.agreement import Agreement, counted
from edgelm.server.worker.journal import Line


def line(text: str, tokens: int) -> Line:
    return Line(key="k", text=text, tokens=tokens, prompt_tokens=1, finish="stop")


@pytest.mark.parametrize(("one", "other", "same_tokens", "tokens"), [
    (("abcd", 4), ("abcd", 4), 4, 4), (("", 0), ("", 0), 0, 0),
    (("abcd", 4), ("abxx", 4), 2, 4), (("abcd", 2), ("abxx", 4), 1, 4),
    (("abcd", 2), ("axcd", 2), 0, 2),  # the first token is cut where they part
    (("abcd", 4), ("ab", 2), 2, 4), (("ab", 2), ("abcd", 4), 2, 4), (("abcd", 4), ("abcd", 3), 3, 4),
])  # fmt: skip
def test_of_two_answers_the_tokens_before_they_part_are_the_same(one, other, same_tokens, tokens):
    found = counted({"k": one}, {"k": line(*other)})
    assert found == Agreement(same=one == other, of=1, same_tokens=same_tokens, tokens=tokens)


def test_an_answer_that_is_missing_agrees_with_nothing():
    found = counted({"k": ("ab", 2), "other": ("cd", 2)}, {"k": line("ab", 2)})
    assert found == Agreement(same=1, of=2, same_tokens=2, tokens=4)


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_no_more_is_the_same_than_there_is(one, other, tokens, others):
    found = counted({"k": (one, tokens)}, {"k": line(other, others)})
    assert 0 <= found.same_tokens <= found.tokens
    assert counted({"k": (other, others)}, {"k": line(one, tokens)}) == found
