"""What all tasks share: prompts by their golden hashes, the naming of protocols, templates and columns."""

import hashlib
import json
from fractions import Fraction

import pytest

from edgelm.errors import BadFile
from edgelm.plugins import available, parse
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Benchmark, field, fill, protocol

GOLDEN = {"gsm8k": "gsm8k", "commonsenseqa": "commonsense_qa", "chid": "chid-test", "chid:split=dev": "chid-dev"}


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(("spec", "name"), GOLDEN.items())
def test_the_prompts_of_all_rows_are_those_of_opencompass(upstream, golden, spec, name):
    wanted = golden("prompt_hashes")[name]
    samples = parse("tasks", spec).samples(upstream)
    assert len(samples) == wanted["rows"]
    assert [sample.index for sample in samples] == list(range(len(samples)))
    assert len({sample.id for sample in samples}) == len(samples)
    chats = [sample.prompt.messages() for sample in samples]
    assert _sha256("\0".join(sample.prompt.base_text() for sample in samples)) == wanted["base_prompts_sha256"]
    assert _sha256(json.dumps(chats, ensure_ascii=False)) == wanted["chat_messages_sha256"]


@pytest.mark.parametrize(("spec", "name"), GOLDEN.items())
def test_marks_are_those_of_opencompass_row_by_row(upstream, golden, spec, name):
    task, answers, results = parse("tasks", spec), golden(f"chat/{name}"), golden(f"chat_results/{name}")
    samples, marks = task.samples(upstream), []
    for row, answer in answers.items():
        sample = samples[int(row)]
        mark = task.score(sample, answer["prediction"])
        details = [d for d in results["details"].values() if isinstance(d, dict) and _asks(d, sample)]
        assert {_right(d) for d in details} == {mark == FULL_MARK}
        marks.append(mark)
    assert float(task.aggregate({None: marks})) == pytest.approx(results["accuracy"])


def _asks(detail, sample):
    return detail["prompt"][-2 if detail["prompt"][-1]["role"] == "BOT" else -1]["prompt"] in _last(sample)


def _last(sample):
    return sample.prompt.messages()[-1]["content"]


def _right(detail):
    return detail["predictions"] == detail["references"]


@pytest.mark.parametrize("name", sorted(available("tasks")))
def test_the_official_name_is_for_upstream_data_alone(upstream, own, name):
    task = parse("tasks", name)
    assert protocol(task, upstream) == f"opencompass-0.3.1/{task.version}"
    files = dict.fromkeys(task.files(own({})), b"{}")
    first = protocol(task, own(files))
    assert first.startswith(f"own-1/{task.label}-") and len(first.rpartition("-")[2]) == 8
    assert protocol(task, own(dict.fromkeys(files, b"[]"))) != first


def test_templates_are_filled_one_column_after_the_other():
    assert fill("{a} {b} {c}", {"a": "{b}", "b": "2"}) == "2 2 {c}"
    assert fill("{b} {a}", {"a": "1", "b": "{a}"}) == "{a} 1"


def test_a_column_that_is_missing_or_of_another_kind_is_named():
    assert field({"a": {"b": 1}}, "a.b", "row 1", int) == 1
    for row in ({}, {"a": 1}, {"a": {}}, {"a": {"b": "1"}}):
        with pytest.raises(BadFile, match=r"row 1.*a\.b"):
            field(row, "a.b", "row 1", int)


def test_the_mean_is_over_rows_whatever_their_subset():
    assert Benchmark().aggregate({"a": [FULL_MARK], "b": [0, 0]}) == Fraction(100, 3)
