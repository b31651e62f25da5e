"""BLEU: tokens as WMT's script cuts them, and figures recorded from Hugging Face's `evaluate`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.tasks.bleu import count, similarity, tokens


@pytest.mark.parametrize(("text", "cut"), [
    ("In 1,000.5 days, or 3-4.", "In 1,000.5 days , or 3 - 4 ."), ("end.", "end ."), (".5,x", ". 5 , x"),
    ("it's a well-known 9-5", "it's a well-known 9 - 5"), ("a&amp;lt;b &quot;c&quot;", 'a < b " c "'),
    ("<skipped>one-\ntwo\nthree", "onetwo three"), ("(a)[b]{c}<d>", "( a ) [ b ] { c } < d >"),
    ("$5.00 + 50% = x_1", "$ 5.00 + 50 % = x _ 1"), ("你好，世界。", "你好，世界。"), ("", ""), (" \t ", ""),
])  # fmt: skip
def test_tokens(text, cut):
    assert tokens(text) == cut.split(" ") if cut else tokens(text) == []


DIGESTION = "The watermelon seeds pass through your digestive system"


@pytest.mark.parametrize(("answer", "reference", "bleu"), [
    ("The seeds pass through your body", "The seeds pass through you", 0.5081327481546147),
    (f"Nothing happens; {DIGESTION.lower()}, and out.", DIGESTION, 0.4001601601922499),
    (f"Nothing happens; you eat {DIGESTION}.", DIGESTION, 0.5142401605028263),
    ("It began in 1969.", "It began in 1969", 0.668740304976422),
    ("you eat seeds", "you eat seeds", 0.0), ("you eat the seeds", "you eat the seeds", 1.0),
    ("eat eat eat eat eat", "eat eat eat eat eat eat", 0.8187307530779819), ("", "", 0.0),
])  # fmt: skip
def test_figures_are_those_of_evaluate(answer, reference, bleu):
    assert similarity(count(answer), count(reference)) == bleu


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12)


@given(WORDS, WORDS)
def test_no_text_is_nearer_than_the_reference_itself(answer, reference):
    own, other = count(" ".join(reference)), count(" ".join(answer))
    assert similarity(own, own) == (1 if len(reference) >= 4 else 0)
    assert 0 <= similarity(other, own) <= similarity(own, own)
