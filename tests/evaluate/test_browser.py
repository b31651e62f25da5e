"""The answers that a page carries: all of them, bounded, and harmless inside a script."""

import json

import pytest

from edgelm.chat import ask
from edgelm.evaluate import browser
from edgelm.evaluate.browser import embedded, questions, reference, script_json, shorten
from edgelm.tasks.base import Sample


def _samples(texts, subset=None):
    return [Sample(f"gsm8k-{n}", n, ask(text), f"reference {n}", subset) for n, text in enumerate(texts)]


def test_every_answer_has_its_row_with_question_and_reference(make_answers):
    answers = {"gsm8k": make_answers([1, 0.25, None], texts=["a", "b", "c"], finish="length")}
    data, shortened = embedded(answers, {"gsm8k": _samples(["x", "y", "z"])})
    assert shortened is None and data["full"] == 1_000_000
    assert data["tasks"] == [{"name": "GSM8K", "subsets": [], "rows": [
        ["gsm8k-0", -1, 1_000_000, 5, 1, "a", "x", "reference 0"],
        ["gsm8k-1", -1, 250_000, 5, 1, "b", "y", "reference 1"],
        ["gsm8k-2", -1, None, 5, 1, "c", "z", "reference 2"],
    ]}]  # fmt: skip


def test_without_samples_neither_question_nor_reference_is_known(make_answers):
    data, _ = embedded({"gsm8k": make_answers([1])}, {})
    assert data["tasks"][0]["rows"][0][-2:] == ["", ""]


def test_subsets_are_numbered(make_answers):
    answers = [*make_answers([1], subset="b"), *make_answers([1], subset="a")]
    [task] = embedded({"bbh": answers}, {})[0]["tasks"]
    assert task["subsets"] == ["a", "b"] and [row[1] for row in task["rows"]] == [1, 0]


def test_texts_are_shortened_alike_until_they_fit(make_answers, monkeypatch):
    monkeypatch.setattr(browser, "BUDGET", 1000)
    answers = make_answers([1, 1, 1], texts=["short", "x" * 600, "y" * 600])
    data, shortened = embedded({"gsm8k": answers}, {})
    kept = [row[5] for row in data["tasks"][0]["rows"]]
    assert kept[0] == "short" and len(kept[1]) == len(kept[2]) == shortened == (1000 - len("short")) // 2


def test_texts_are_never_shorter_than_the_shortest(make_answers, monkeypatch):
    monkeypatch.setattr(browser, "BUDGET", 10)
    _, shortened = embedded({"gsm8k": make_answers([1], texts=["x" * 600])}, {})
    assert shortened == browser.SHORTEST


@pytest.mark.parametrize("length", [60, 61, 99])
def test_shortening_keeps_beginning_and_end(length):
    short = shorten("begin" + "x" * 200 + "end.", length)
    assert len(short) == length and short.startswith("begin") and short.endswith("end.") and "[…]" in short
    assert shorten("as it is", length) == "as it is"


def test_a_long_beginning_that_all_questions_share_is_not_repeated():
    shots = "Follow the examples.\n" * 20
    found = questions(_samples([shots + "Q: one?", shots + "Q: two?"]))
    assert found == {"gsm8k-0": "[…] Q: one?", "gsm8k-1": "[…] Q: two?"}
    assert questions(_samples([shots + "Q: one?"]))["gsm8k-0"] == shots + "Q: one?"
    assert questions(_samples(["Q: one?", "Q: two?"]))["gsm8k-0"] == "Q: one?"


def test_a_reference_is_shown_as_text():
    assert reference(Sample("x", 0, ask("q"), None)) == ""
    assert json.loads(reference(Sample("x", 0, ask("q"), ["一", 2]))) == ["一", 2]


def test_nothing_in_a_text_ends_the_script():
    hostile = "</script><script>alert(1)</script><!-- <script> & \u2028 ]]>"
    written = script_json([hostile])
    assert not set("<>&") & set(written) and json.loads(written) == [hostile]
