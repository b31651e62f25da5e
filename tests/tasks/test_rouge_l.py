"""ROUGE-L where the package `rouge` fails, and with it the original's mark; its marks are in test_longbench_metrics."""

import pytest

from edgelm.tasks.rouge_l import MOST_STEPS, rouge_l


def _text(words, first=0):
    return " ".join(f"w{number}" for number in range(first, first + words))


# OpenCompass 0.3.1 with --debug on CPython 3.11: equal texts of 985 words are right, of 986 wrong.
@pytest.mark.parametrize(("words", "right"), [(984, True), (985, True), (986, False), (2000, False)])
def test_a_pair_of_sentences_that_takes_too_many_steps_counts_as_nothing(words, right):
    assert rouge_l(_text(words), _text(words)) == pytest.approx(1 if right else 0, abs=1e-6)
    assert rouge_l(_text(words), _text(words), most_steps=None) == pytest.approx(1, abs=1e-6)


def test_steps_without_a_common_word_are_those_through_the_answer():
    assert rouge_l(f"{_text(MOST_STEPS - 1, 5000)}. a", "a") > 0
    assert rouge_l(f"{_text(MOST_STEPS, 5000)}. a", "a") == 0


def test_sentences_are_walked_one_by_one():
    halves = f"{_text(600)}. {_text(600, 600)}"
    assert rouge_l(halves, halves) == pytest.approx(1, abs=1e-6)


def test_the_result_is_exact():
    assert rouge_l("a b", "a b") == 0.999999995
