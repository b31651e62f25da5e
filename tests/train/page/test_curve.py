import json
import math
import re
import sys
from html.parser import HTMLParser

import pytest

from edgelm.errors import MissingPackage
from edgelm.train.page.curve import page

FACTS = {
    "name": "a <name>", "shape": "4 layers", "parameters": 1_033_344, "machine": "two cores",
    "epochs": {"pretrain": 2.0}, "recipe": ["tokenizer", "pretrain:shape=mini,steps=40"],
    "sources": [{"name": "c4", "licence": "ODC-BY-1.0", "documents": 1200, "tokens": 40_000}, {"name": "own.txt"}],
    "command": "edgelm train pretrain:steps=40 -o OUT", "made_by": "edgelm", "cautions": ["for research"],
}  # fmt: skip


class Whole(HTMLParser):
    """Fails on an element that is closed out of turn; keeps the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.tags = [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def metrics(tmp_path):
    """`metrics(40)`: a file with so many updates, of which every tenth looks at the held-out text."""

    def write(updates, name="metrics.jsonl", tail="", **more):
        lines = []
        for step in range(1, updates + 1):
            loss = 7 * math.exp(-step / 8) + 2
            line = {
                "step": step, "tokens": 1000 * step, "loss": loss, "lr": 1e-3, "grad_norm": 1 / step, "mfu": None,
                "tokens_per_s": 2000.0, "memory_mb": 812.0, "data_wait_s": 0.01, "seconds": 0.5 * step, **more,
            }  # fmt: skip
            if step % 10 == 0:
                line["held"] = {"c4": {"loss": loss + 0.1, "bpb": loss / 3}, "alpaca": {"loss": loss - 0.1}}
            lines.append(json.dumps(line) + "\n")
        (tmp_path / name).write_text("".join(lines) + tail)
        return tmp_path / name

    return write


def test_the_page_shows_both_stages_and_all_facts(metrics):
    stages = {"pretrain": metrics(40), "sft": metrics(20, "sft.jsonl", mfu=0.31)}
    text = page(stages, FACTS)
    assert text == page(stages, FACTS)
    seen = Whole(text)
    for words in ("a <name>", "1\u202f033\u202f344", "Pretraining", "Fine-tuning", "two cores", "ODC-BY-1.0", "unknown",
                  "edgelm train pretrain:steps=40 -o OUT", "shape = mini, steps = 40", "for research",
                  "60K", "31.0%", "20 s"):  # fmt: skip
        assert words in seen.text, words
    titles = [" ".join(each.split()) for each in re.findall(r"<h3>(.*?) <small>", text)]
    usual = ["Loss", "Held-out text", "Learning rate", "Norm of the gradient", "Speed"]
    assert titles == [*usual, *usual, "MFU"]


def test_it_needs_nothing_from_elsewhere(metrics):
    text = page({"pretrain": metrics(40)}, FACTS)
    assert not re.search(r"https?:|src=|@import|<script|<link", text)


def test_the_table_of_held_out_text(metrics):
    seen = Whole(page({"pretrain": metrics(40)}, {})).text
    last = 7 * math.exp(-40 / 8) + 2
    assert f"{last + 0.1:.4f}" in seen and f"{last / 3:.4f}" in seen
    assert "–" in seen  # no bits per byte are known of the other source


def test_a_source_has_one_colour_on_all_of_the_page(metrics):
    only = metrics(20, "sft.jsonl")
    only.write_text(re.sub(r'"c4": \{.*?\}, ', "", only.read_text()))
    text = page({"pretrain": metrics(40), "sft": only}, {})
    found = set(re.findall(r'<i style="background: var\(--(\w+)\)"></i>alpaca', text))
    assert len(found) == 1


@pytest.mark.parametrize("updates", [0, 1, 2, 3])
def test_the_beginning_of_a_run(metrics, updates):
    seen = Whole(page({"pretrain": metrics(updates), "sft": metrics(0, "none.jsonl")}, {}))
    assert ("No update has been written down yet." in seen.text) is True
    assert len([tag for tag, _ in seen.tags if tag == "figure"]) == (4 if updates else 0)


def test_a_file_that_is_not_there_and_a_torn_last_line(metrics, tmp_path):
    torn = page({"pretrain": metrics(12, tail='{"step": 13, "tok')}, {})
    assert torn == page({"pretrain": metrics(12)}, {})
    assert "No update" in page({"pretrain": tmp_path / "none.jsonl"}, {})


def test_values_that_are_no_numbers_are_left_out(metrics):
    text = page({"pretrain": metrics(30, grad_norm=math.inf, loss=math.nan)}, {})
    Whole(text)
    assert not re.search(r"\b(nan|inf)\b", text)


def test_lines_that_know_little_are_shown_as_far_as_they_go(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "tokens": 20, "loss": 3.0}\n')
    seen = Whole(page({"own": tmp_path / "metrics.jsonl"}, {}))
    assert [tag for tag, _ in seen.tags].count("figure") == 1
    assert "own" in seen.text


def test_without_jinja2_the_mend_is_said(metrics, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingPackage, match="jinja2"):
        page({"pretrain": metrics(3)}, {})
