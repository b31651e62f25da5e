"""The form of answers: found as the official marks look for it, whether the answer is right or wrong."""

import pytest

from edgelm.chat import ask
from edgelm.plugins import parse
from edgelm.tasks.base import Sample
from edgelm.tasks.bbh import SETS

LISTED = "Which?\nOptions:\n(A) one\n(B) two\nA: Let's think step by step."
PROBLEM = {"prompt": 'def f(x):\n    """Double it."""\n', "entry_point": "f", "test": ""}
LABELS = {"commonsense_qa": ("commonsenseqa", "ABCDE"), "chid-test": ("chid", "ABCDEFG"), "gsm8k": ("gsm8k", None)}


@pytest.mark.parametrize(("name", "formed", "formless"), [
    ("commonsenseqa", ["So the answer is C.", "so the answer is E", "So the answer is (A) so the answer is B"],
     ["So the answer is c.", "So the answer is (C).", "So the answer is P", "C", "The answer is C", ""]),
    ("chid", ["C", "答案是G。", "c, or C"], ["H", "The answer is C", "c", "画蛇添足", ""]),
    ("gsm8k", ["The answer is 4", "-1.5", "10-5", "1,000"], ["four", "", "Question: 4"]),
    ("truthfulqa", ["Nothing happens.", "."], ["", " \n"]),
])  # fmt: skip
def test_answers_with_and_without_the_form(name, formed, formless):
    task, sample = parse("tasks", name), Sample(f"{name}-0", 0, ask("?"), "B")
    assert all(task.in_form(sample, answer) is True for answer in formed)
    assert all(task.in_form(sample, answer) is False for answer in formless)


@pytest.mark.parametrize(("subset", "formed", "formless"), [
    ("snarks", ["So the answer is (B).", "(A)", "So the answer is A"], ["So the answer is (C).", "So it is b", ""]),
    ("navigate", ["So the answer is Yes.", "No"], ["So the answer is yes.", "So the answer is: No", "Yes, it is", ""]),
    ("sports_understanding", ["So the answer is yes."], ["So the answer is Yes."]),
    ("boolean_expressions", ["So the answer is **True**."], ["So the answer is true"]),
    ("formal_fallacies", ["So the answer is invalid."], ["So the answer is (invalid)."]),
    ("object_counting", ["So the answer is 7."], ["So the answer is seven.", "So the answer is 7 fruits."]),
    ("multistep_arithmetic_two", ["So the answer is -7."], ["So the answer is 7.0", "7 - 3"]),
    ("dyck_languages", ["So the answer is ] ) >."], ["] and )", ""]),
    ("word_sorting", ["So the answer is bear cat it&t."], ["Words: bear cat", "We sort them", ""]),
])  # fmt: skip
def test_each_set_of_bbh_asks_for_its_own(subset, formed, formless):
    task, sample = parse("tasks", "bbh"), Sample("bbh-0", 0, ask(LISTED), "(B)", subset=subset)
    assert all(task.in_form(sample, answer) is True for answer in formed)
    assert all(task.in_form(sample, answer) is False for answer in formless)


@pytest.mark.parametrize(("answer", "formed"), [
    ("    return 2 * x\n", True), ("```python\ndef f(x):\n    return 2 * x\n```", True),
    ("def f(x):\n    return 3", True), ("return 2 * x", False), ("```python\n    return 2 * x", False),
    ("    It doubles x.", False), ("", False), ("\n", False), ("    return (2 * x", False), ("    return '\0'", False),
])  # fmt: skip
def test_a_program_is_in_form_if_it_is_python(answer, formed):
    sample = Sample("HumanEval/0", 0, ask("?"), PROBLEM)
    assert parse("tasks", "humaneval").in_form(sample, answer) is formed


@pytest.mark.parametrize("name", ["commonsenseqa", "chid", "gsm8k", "bbh", "truthfulqa", "humaneval", "longbench"])
def test_a_fair_reader_asks_for_no_form(name):
    sample = Sample("x-0", 0, ask(LISTED), PROBLEM, subset="snarks")
    assert parse("tasks", f"{name}:scorer=fixed").in_form(sample, "B") is None


def test_long_texts_have_no_form():
    assert parse("tasks", "longbench").in_form(Sample("x-0", 0, ask("?"), None, subset="lcc"), "B") is None


def test_right_answers_are_in_form(upstream):
    """But for three references of BBH that are no letters."""
    task = parse("tasks", "bbh")
    without = [
        sample.id
        for sample in task.samples(upstream)
        if not task.in_form(sample, f"So the answer is {sample.reference}.")
    ]
    assert [name.rpartition("-")[0] for name in without] == ["bbh-ruin_names"] * 2 + ["bbh-movie_recommendation"]


@pytest.mark.parametrize("name", LABELS)
def test_form_is_what_opencompass_read(golden, name):
    label, labels = LABELS[name]
    task, sample = parse("tasks", label), Sample("x-0", 0, ask("?"), "B")
    for row in golden(f"chat_results/{name}")["details"].values():
        read = row["predictions"]
        expected = read != "NULL" if labels is None else len(read) == 1 and read in labels
        assert task.in_form(sample, row["origin_prediction"]) is expected


def test_every_set_of_bbh_has_a_form():
    task = parse("tasks", "bbh")
    assert all(task.in_form(Sample("bbh-0", 0, ask(LISTED), "(B)", subset=name), "Well.") is False for name in SETS)
