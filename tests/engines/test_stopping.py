"""The end of an answer: end tokens, stop strings wherever tokens break them, and the cap."""

import pytest
from transformers import AutoTokenizer

from edgelm.chat import ask
from edgelm.engines.base import Request
from edgelm.engines.stopping import Ending


@pytest.fixture(scope="module")
def tokenizer(make_checkpoint):
    return AutoTokenizer.from_pretrained(make_checkpoint("llama", num_hidden_layers=1))


def _length(tokenizer, text, *stop, cap=10**6, ends=()):
    """After how many of its tokens a text ends; None if it does not."""
    ids = tokenizer(text)["input_ids"]
    ending = Ending(Request("k", 0, ask(""), cap, stop), tokenizer, ends)
    return next((n for n in range(1, len(ids) + 1) if ending.reached(ids[:n])), None)


def test_the_cap_and_an_end_token_end_it(tokenizer):
    assert _length(tokenizer, "1234567890") is None
    assert _length(tokenizer, "1234567890", cap=4) == 4
    assert _length(tokenizer, "1234567890", ends=[tokenizer("3")["input_ids"][0]]) == 3


@pytest.mark.parametrize("stop", ["\nQ:", "守株", "待兔\n", "9", "fox jumps", ". 1"])
def test_a_stop_string_ends_it_with_the_token_that_completes_it(tokenizer, stop):
    text = "The quick brown fox jumps.\n. 1234567890\nQ: 守株待兔\n"
    ids = tokenizer(text)["input_ids"]
    length = _length(tokenizer, text, "never", stop)
    assert stop in tokenizer.decode(ids[:length]) and stop not in tokenizer.decode(ids[: length - 1])


def test_a_stop_string_is_seen_far_behind_the_beginning_and_in_special_tokens(tokenizer):
    assert _length(tokenizer, "dog" * 300 + "AB", "AB") is not None
    assert _length(tokenizer, "dog" * 300 + "A<|pad|>B", "AB") is None
    assert _length(tokenizer, "dog" * 300 + "A<|pad|>B", "<|pad|>") == len(
        tokenizer("dog" * 300 + "A<|pad|>")["input_ids"]
    )


def test_what_follows_a_stop_string_is_padding(tokenizer):
    ids = tokenizer("The quick brown fox")["input_ids"]
    assert Ending(Request("k", 0, ask(""), 9, (" quick",)), tokenizer, ()).part(ids) == ids[:2]
    for stop in ((), ("dog",)):
        assert Ending(Request("k", 0, ask(""), 9, stop), tokenizer, ()).part(ids) == ids
