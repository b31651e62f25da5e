"""CommonsenseQA: which letter of an answer counts."""

import json

import pytest

from edgelm.chat import ask
from edgelm.errors import BadFile
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Sample
from edgelm.tasks.commonsenseqa import ROWS, CommonsenseQA

NO_SHOTS = b'{"commonsenseqa": []}'


@pytest.mark.parametrize(("answer", "right"), [
    ("So the answer is B.", True), ("SO THE ANSWER IS B", True), ("so the answer is\n B", True),
    ("so the answer isB", True),
    ("So the answer is Bank", True), ("So the answer is b", False), ("So the answer is (B)", False),
    ("So the answer is **B**", False), ("So the answer is: B", False), ("The answer is B", False), ("B", False),
    ("", False),
    ("so the answer is probably B", False), ("So the answer is A. So the answer is B", False),
    ("So the answer is Q. So the answer is B", True), ("So the answer  is B", False), ("So the answer is", False),
])  # fmt: skip
def test_the_first_letter_after_the_phrase_counts(answer, right):
    sample = Sample("commonsenseqa-0", 0, ask("?"), "B")
    assert CommonsenseQA().score(sample, answer) == (FULL_MARK if right else 0)


@pytest.mark.parametrize(("answer", "right"), [
    ("So the answer is (B)", True), ("So the answer is b.", True), ("So the answer is **B**", True),
    ("The answer is: B", True), ("B", True), ("So the answer is bank", True),
    ("So the answer is A. So the answer is B", True), ("B. bank", True),
    ("So the answer is B.\n\nQ: Who? Answer Choices: A. he\nA: So the answer is A.", True),
    ("So the answer is probably B", True), ("So the answer is B. So the answer is A", False),
    ("So the answer is Bond", False), ("", False), ("Bob", False),
])  # fmt: skip
def test_the_fixed_scorer_reads_the_last_statement(answer, right):
    asked = ask("Q:Is D. Trump one?  Answer Choices: A. him\nB. bank\nC. c\nD. d\nE. e\nA:")
    sample = Sample("commonsenseqa-0", 0, asked, "B")
    assert CommonsenseQA(scorer="fixed").score(sample, answer) == (FULL_MARK if right else 0)


def _row(choices=("c1", "c2", "c3", "c4", "c5"), **changes):
    listed = [{"label": "X", "text": text} for text in choices]
    row = {"answerKey": "B", "question": {"stem": "Where?", "choices": listed}}
    return json.dumps(row | changes).encode() + b"\n"


def test_choices_are_taken_by_position_and_the_base_prompt_starts_with_a_newline(own):
    (sample,) = CommonsenseQA().samples(own({ROWS: _row(), "exemplars.json": NO_SHOTS}))
    asked = "Q:Where?  Answer Choices: A. c1\nB. c2\nC. c3\nD. c4\nE. c5\nA:"
    assert sample.prompt.base_text() == "\n" + asked
    assert sample.prompt.messages() == [{"role": "user", "content": asked + "\n"}]
    assert sample.reference == "B"


@pytest.mark.parametrize(
    "row", [_row(["c"] * 4), _row(["c"] * 6), _row([1] * 5), _row(answerKey=1), _row(question={}), b"{}"]
)
def test_a_row_that_is_not_of_the_format_is_named(own, row):
    with pytest.raises(BadFile, match="row 1 of"):
        CommonsenseQA().samples(own({ROWS: row, "exemplars.json": NO_SHOTS}))
