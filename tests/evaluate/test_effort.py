"""What a task took is counted from its answers."""

import pytest

from edgelm.evaluate.effort import efforts


def test_tokens_and_caps_are_counted(make_answers):
    answers = [*make_answers([1], finish="length", tokens=512), *make_answers([1, 0], tokens=10, prompt_tokens=30)]
    [found] = efforts({"gsm8k": answers}, {"gsm8k": 1.5})
    assert (found.answers, found.read, found.made, found.capped, found.seconds) == (3, 160, 532, 1, 1.5)
    assert found.tokens == 692 and found.beyond == found.filled == 0


@pytest.mark.parametrize(("context", "beyond", "filled"), [(105, 0, 0), (104, 1, 0), (101, 1, 0), (100, 1, 1)])
def test_what_goes_past_the_context_is_counted(make_answers, context, beyond, filled):
    """100 tokens are read and 5 made."""
    [found] = efforts({"gsm8k": make_answers([1])}, {}, context)
    assert (found.beyond, found.filled, found.seconds) == (beyond, filled, None)
