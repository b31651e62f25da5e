"""GSM8K: which number of an answer counts."""

import json

import pytest

from edgelm.chat import ask
from edgelm.errors import BadFile
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Sample
from edgelm.tasks.gsm8k import GSM8K, ROWS

NO_SHOTS = b'{"gsm8k": []}'


@pytest.mark.parametrize(("answer", "reference", "right"), [
    ("The answer is 18", "18", True), ("18.", "18", True), ("18.00", "18", True), ("366.0", "366", True),
    ("17.9999999", "18", True), ("17.99", "18", False), ("1, 2, 18", "18", True), ("-5", "-5", True),
    ("10-5", "5", False),
    ("10-5", "-5", True), ("$1,000", "1000", False), ("$1,000", "0", True), ("1000", "1000", True),
    ("It is 18. Hope 2 help", "18", False), ("18\nQuestion: what is 3?", "18", True), ("Question: 18", "18", False),
    ("", "18", False), ("eighteen", "18", False), ("18%", "18", True), ("٣", "3", True), ("1.5", "1.5", True),
    ("2.5", "1.5", False), ("9" * 400, "18", False), ("9" * 5000, "18", False), ("1" * 5000, "1" * 5000, True),
    ("007", "7", True), ("NULL", "NULL", False), ("x", "NULL", False),
])  # fmt: skip
def test_the_last_number_before_a_further_question_counts(answer, reference, right):
    sample = Sample("gsm8k-0", 0, ask("?"), reference)
    assert GSM8K().score(sample, answer) == (FULL_MARK if right else 0)


@pytest.mark.parametrize(("answer", "reference", "right"), [
    ("It is $1,000", "1000", True), ("The answer is 18. Hope 2 help", "18", True), ("10-5", "5", True),
    ("18.0", "18", True), ("The answer is 18 of 20\nQuestion: what is 3?\nThe answer is 3", "18", True),
    ("1" * 5000, "1" * 5000, True), ("$1,000", "0", False), ("9" * 5000, "18", False), ("", "18", False),
    ("The answer is 17.99", "18", False),
])  # fmt: skip
def test_the_fixed_scorer_reads_the_number_that_is_stated(answer, reference, right):
    sample = Sample("gsm8k-0", 0, ask("?"), reference)
    assert GSM8K(scorer="fixed").score(sample, answer) == (FULL_MARK if right else 0)


def _row(question="How many?", answer="1 + 1 = 2\n#### 2"):
    return json.dumps({"question": question, "answer": answer}).encode() + b"\n"


def test_rows_become_prompts_behind_the_suites_own_exemplars(own):
    shots = json.dumps({"gsm8k": [["user", "Q0"], ["assistant", "A0"]]}).encode()
    data = own({ROWS: _row() + _row("{answer} eggs?", "#### 1,234 #### 5"), "exemplars.json": shots})
    first, second = GSM8K().samples(data)
    assert first.prompt.base_text() == "Q0\nA0\nQuestion: How many?\nLet's think step by step\nAnswer:"
    assert (first.reference, second.reference) == ("2", "1234 ")
    assert "Question:  eggs?" in second.prompt.base_text(), "a column named in the text is filled in turn"


@pytest.mark.parametrize(
    "row", [_row(answer="2"), b'{"question": "?"}', b'{"question": 1, "answer": "#### 1"}', b"[]", b"{"]
)
def test_a_row_that_is_not_of_the_format_is_named(own, row):
    with pytest.raises(BadFile, match=r"line|row|no objects"):
        GSM8K().samples(own({ROWS: row, "exemplars.json": NO_SHOTS}))
