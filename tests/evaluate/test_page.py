"""The page: every figure is there, hostile answers stay text, and nothing is fetched from elsewhere."""

import json
import re
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from edgelm.chat import ask
from edgelm.evaluate.compare import compare
from edgelm.evaluate.page import clock, comparison_page, millions, report_page
from edgelm.report import Report
from edgelm.tasks.base import Sample

HOSTILE = "</script></pre><script>alert(1)</script><img src=x onerror=alert(2)> \" onload='x'"
VOID_ELEMENTS = {"meta", "br", "link", "img", "hr", "input"}


class Reader(HTMLParser):
    """Checks that elements nest, and gathers what there is: tags, attributes, ids, texts by element."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.texts = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture
def answers(make_answers):
    return {
        "bbh": [*make_answers([1, 0], subset="snarks", task="bbh"), *make_answers([1], subset="navigate", task="bbh")],
        "gsm8k": make_answers([1, 0, 0], texts=["right", HOSTILE, "wrong"], finish="length"),
    }


@pytest.fixture
def report(answers, make_score, make_report):
    return make_report({
        "bbh": make_score(answers["bbh"]), "gsm8k": make_score(answers["gsm8k"], of=1319, engine={"engine": HOSTILE}),
    }, name="<i>tiny</i>")  # fmt: skip


@pytest.fixture
def page(report, answers):
    samples = {"gsm8k": [Sample(f"gsm8k-{n}", n, ask(f"What is {n}? {HOSTILE}"), "42") for n in range(3)]}
    return report_page(report, answers, samples=samples, seconds={"gsm8k": 150.0})


def test_it_is_sound_html_that_needs_nothing_else(page):
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    assert not {"link", "img", "iframe", "object"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "href")]
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttp", page)


def test_hostile_texts_stay_text(page):
    reader = read(page)
    assert reader.tags.count("script") == 2 and "<i>" not in page
    [data] = [text for tag, text in reader.texts if tag == "script" and text.startswith("{")]
    rows = {task["name"]: task["rows"] for task in json.loads(data)["tasks"]}
    assert rows["GSM8K"][1][5:] == [HOSTILE, f"What is 1? {HOSTILE}", "42"]
    assert ("pre", HOSTILE) in reader.texts  # the example that is shown without a script


def test_scores_intervals_and_references_are_there(page):
    texts = [text for _, text in read(page).texts]
    shown = {"33.33", "66.67", "84.38", "Llama-3.1-8B-Instruct", "of 1\u202f319", "2 min 30 s", "100.0 %"}
    assert shown <= set(texts)
    assert "6.1 – 79.2" in texts  # Wilson's interval of 1 in 3
    assert any("GSM8K 3 of 1,319" in text for text in texts)
    assert "snarks" in texts and "50.00" in texts


def test_blind_answers_and_forms_stand_beside_the_scores(report, answers):
    reader = read(report_page(report, answers, samples={}, formed={"gsm8k": Fraction(200, 3)}, seconds={}))
    texts = [text for _, text in reader.texts]
    assert {"Blind", "In form", "66.7", "constant 30.4", "constant 3.0"} <= set(texts)
    bare = report_page(report, answers, samples={}, seconds={})
    assert "In form" not in [text for _, text in read(bare).texts]


def test_texts_of_a_hold_out_are_not_there(report, answers):
    page = report_page(report, answers, samples={}, seconds={})
    assert "What is" not in page and "42" not in [row for _, row in read(page).texts]


def test_a_report_without_tasks_is_a_page_too(make_report):
    read(report_page(make_report({}), {}, samples={}, seconds={}))


def test_scripts_may_be_off(page):
    """What only a script can use is hidden until one shows it; all else stands in the page."""
    assert re.search(r'<form class="controls"[^>]* hidden', page) and re.search(r'<div class="pages"[^>]* hidden', page)


def test_a_comparison_shows_both_answers(tmp_path, make_answers, make_score, write_report):
    for name, marks, texts in (("a", [1, 0], ["was right", "was wrong"]), ("b", [0, 1], [HOSTILE, "is right"])):
        answers = make_answers(marks, texts=texts)
        write_report(tmp_path / name, {"gsm8k": (make_score(answers), answers)}, name=name)
    a, b = tmp_path / "a", tmp_path / "b"
    reader = read(comparison_page(Report.load(a), Report.load(b), compare(a, b)))
    assert {("pre", text) for text in ("was right", "was wrong", HOSTILE, "is right")} <= set(reader.texts)
    assert "script" not in reader.tags and ("h1", "a → b") in reader.texts


def test_what_one_report_lacks_and_what_differs_is_said_once_on_top(tmp_path, make_answers, make_score, write_report):
    answers = make_answers([1, 0])
    score = make_score(answers)
    other = make_score(answers, engine={"engine": "hf", "batch": 4})
    a = write_report(tmp_path / "a", dict.fromkeys(("gsm8k", "chid", "bbh"), (score, answers)))
    b = write_report(tmp_path / "b", dict.fromkeys(("chid", "gsm8k"), (other, answers)))
    texts = read(comparison_page(Report.load(a), Report.load(b), compare(a, b))).texts
    said = [text for tag, text in texts if tag == "li" and ("Only" in text or "differ" in text)]
    assert said == ["Only in A: BIG-Bench Hard.", "GSM8K, CHID: the engines differ: batch 8 and batch 4."]


def test_the_engine_and_what_scored_stand_apart(make_answers, make_score, make_report):
    answers = make_answers([1])
    engine = {"engine": "local", "dtype": "float32", "device": "cpu", "memory": 2**32}
    score = make_score(answers, engine=engine, conditions={"memory": 2**29, "flags": ["--one", "--two"]})
    page = report_page(make_report({"humaneval": score}), {"humaneval": answers}, samples={}, seconds={})
    texts = [text for _, text in read(page).texts]
    assert {"4.00 GiB", "512.00 MiB", "--one, --two", "local · float32 · cpu"} <= set(texts)
    assert texts.index("Engine") < texts.index("4.00 GiB") < texts.index("Scored with") < texts.index("512.00 MiB")


def test_tasks_stand_in_the_competitions_order(make_answers, make_score, make_report):
    answers = make_answers([1])
    names = ("chid", "gsm8k", "gsm8k-fixed", "commonsenseqa")
    report = make_report(dict.fromkeys(names, make_score(answers)))
    page = report_page(report, dict.fromkeys(names, answers), samples={}, seconds={})
    rows = [
        text
        for tag, text in read(page).texts
        if tag == "th" and text in ("CommonsenseQA", "GSM8K", "gsm8k-fixed", "CHID")
    ]
    assert rows == ["CommonsenseQA", "GSM8K", "gsm8k-fixed", "CHID"] * 2


@pytest.mark.parametrize(("write", "value", "text"), [
    (clock, 12.34, "12.3 s"), (clock, 100, "1 min 40 s"), (clock, 150, "2 min 30 s"), (clock, 7260, "2 h 1 min"),
    (millions, 999, "999"), (millions, 1500, "1.5 K"), (millions, 12_345_678, "12.3 M"),
    (millions, 1_000_000_000, "1 B"),
])  # fmt: skip
def test_figures_are_written_for_people(write, value, text):
    assert write(value) == text
