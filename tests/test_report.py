"""Reports: exact numbers, joined by checkpoint, complete only with their last file."""

import json
import re
from fractions import Fraction
from functools import reduce
from operator import getitem

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.errors import BadFile, BadOption, MissingInput
from edgelm.report import (
    FULL_MARK,
    REPORT,
    Answer,
    Report,
    Speed,
    TaskScore,
    Workload,
    answers_log,
    mean_percent,
    median,
    read_answers,
)  # fmt: skip


def _score(score="117/2", samples=200, of=200):
    return TaskScore(protocol="p/1", score=score, samples=samples, of=of, prompting="chat", engine={"engine": "hf"})


def _report(checkpoint="c" * 64, **fields):
    return Report(checkpoint=checkpoint, name="m", parameters=5, bytes=10, dtypes={"F16": 5}, **fields)


def _speed(*repeats):
    workload = Workload(prompt_tokens=100, generated_tokens=28)
    return Speed(workload=workload, device="cpu", repeats_ns=list(repeats), first_token_ns=[1], prefill=1, decode=1,
                 spread=0)  # fmt: skip


def test_a_report_is_read_back_equal(tmp_path):
    report = _report(tasks={"gsm8k": _score()}, speed=_speed(10**9, 2 * 10**9), memory={"rss": 7}, colour="blue")
    report.save(tmp_path)
    assert Report.load(tmp_path) == report
    assert json.loads((tmp_path / REPORT).read_bytes())["tasks"]["gsm8k"]["score"] == "117/2"


@given(st.fractions(0, 100))
def test_every_fraction_survives_json(score):
    text = _report(tasks={"t": _score(score)}).model_dump_json()
    assert Report.model_validate_json(text).tasks["t"].score == score


NO_SCORES = ("1/0", "1/00", "58.5", "1e999999999", "nan", "", " 1", "1/-2", 0.5, True, None, [1], "٣", "9" * 301)


@pytest.mark.parametrize("score", [*NO_SCORES, "-1/2", "201/2"])
def test_what_is_no_plain_fraction_of_a_hundred_is_refused_at_once(tmp_path, score):
    record = _report(tasks={"t": _score()}).model_dump(mode="json")
    record["tasks"]["t"]["score"] = score
    (tmp_path / REPORT).write_text(json.dumps(record))
    with pytest.raises(BadFile, match=r"tasks\.t\.score"):
        Report.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [*(("speed.workload", {"prompt_tokens": 1, "generated_tokens": 1} | counts) for counts in (
         {"prompt_tokens": 10**3000}, {"batch": 2**31}, {"repeats": 0}, {"generated_tokens": -1})),
     ("dtypes.F16", 10**3000), ("speed.prefill", "inf"), ("speed.spread", "nan"),
     ("tasks.t.notes", {"cut": 10**3000}), ("tasks.t.figures", {"x": 10**3000}), ("predicted", {"total": 10**3000})],
)  # fmt: skip
def test_no_number_is_without_bounds(tmp_path, field, value):
    record = _report(tasks={"t": _score()}, speed=_speed(10**9)).model_dump(mode="json")
    *place, last = field.split(".")
    reduce(getitem, place, record)[last] = value
    (tmp_path / REPORT).write_text(json.dumps(record))
    with pytest.raises(BadFile, match=f"field {re.escape(field)}"):
        Report.load(tmp_path)


def test_the_throughput_of_the_largest_workload_can_be_written():
    most = 2**31 - 1
    workload = Workload(prompt_tokens=most, generated_tokens=most, batch=most)
    assert len(str(_speed(2**63 - 1, 7).model_copy(update={"workload": workload}).throughput)) < 100


def test_a_report_is_finished_when_its_file_is_there(tmp_path):
    (tmp_path / "answers").mkdir()
    with pytest.raises(MissingInput, match="no finished report"):
        Report.load(tmp_path)


def test_a_damaged_report_names_the_field(tmp_path):
    (tmp_path / REPORT).write_text('{"checkpoint": "x"}')
    with pytest.raises(BadFile, match="field name is wrong"):
        Report.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("format", 2),
        ("parameters", -1),
        ("bytes", 2**63),
        ("memory.rss", 0),
        ("tasks.t.samples", 0),
        ("tasks.t.samples", 201),
        ("tasks.t.of", 0),
        ("speed.repeats_ns", []),
        ("speed.repeats_ns", [1, 0]),
        ("speed.repeats_ns", [10**4000]),
        ("speed.first_token_ns", []),
        ("speed.first_token_ns", [-1]),
    ],
)
def test_what_no_run_can_give_is_refused(tmp_path, place, value):
    record = _report(tasks={"t": _score()}, speed=_speed(5), memory={"rss": 7}).model_dump(mode="json")
    *path, last = place.split(".")
    reduce(getitem, path, record)[last] = value
    (tmp_path / REPORT).write_text(json.dumps(record))
    with pytest.raises(BadFile, match=re.escape(".".join(path) or last)):
        Report.load(tmp_path)


def test_joining_keeps_what_only_one_has_and_takes_the_later():
    scores = _report(tasks={"a": _score("1"), "b": _score("2")}, made_by="edgelm 1")
    speed = _report(tasks={"b": _score("3")}, speed=_speed(5), memory={"rss": 7}, machine={"cpu": "x"})
    joined = scores | speed
    assert {name: task.score for name, task in joined.tasks.items()} == {"a": 1, "b": 3}
    assert joined.speed == speed.speed and joined.memory == {"rss": 7} and joined.made_by == "edgelm 1"
    assert (speed | scores).tasks["b"].score == 2
    assert joined | joined == joined
    assert (scores | speed) | scores == scores | (speed | scores)


def test_reports_of_two_checkpoints_do_not_join():
    with pytest.raises(BadOption, match="two checkpoints"):
        _ = _report() | _report("d" * 64)


def test_a_sample_is_no_complete_score():
    assert _score().complete and not _score(samples=199).complete


def test_throughput_is_the_exact_median_over_the_repeats():
    assert _speed(10**9).throughput == 128
    assert _speed(10**9, 3 * 10**9, 2 * 10**9).throughput == 64
    assert _speed(10**9, 2 * 10**9).throughput == 96
    assert _speed(3 * 10**9).throughput == Fraction(128, 3)


@given(st.lists(st.fractions(), min_size=1))
def test_the_median_has_as_many_above_as_below(values):
    middle = median(values)
    assert sum(v < middle for v in values) <= len(values) / 2 >= sum(v > middle for v in values)
    assert median(values[::-1]) == middle


def test_the_mean_of_marks_is_exact():
    assert mean_percent([FULL_MARK, 0, 0]) == Fraction(100, 3)
    assert mean_percent(iter([FULL_MARK])) == 100


def test_answers_are_read_in_the_order_written_and_a_wrong_one_is_named(tmp_path):
    row = {"sample": "s", "text": "x", "mark": 0, "tokens": 1, "prompt_tokens": 2, "finish": "stop"}
    rows = [row | {"key": str(n)} for n in range(3)]
    with answers_log(tmp_path, "gsm8k") as log:
        log.append(rows)
    assert read_answers(tmp_path, "gsm8k") == [Answer(**row) for row in rows]
    with answers_log(tmp_path, "gsm8k") as log:
        log.append([rows[0] | {"finish": "tired"}])
    with pytest.raises(BadFile, match="finish"):
        read_answers(tmp_path, "gsm8k")


def test_reading_answers_leaves_a_torn_line_where_it_is(tmp_path):
    with answers_log(tmp_path, "t") as log:
        log.append([{"key": "k"}])
    path = answers_log(tmp_path, "t").path
    path.write_bytes(path.read_bytes()[:-3])
    before = path.read_bytes()
    assert read_answers(tmp_path, "t") == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("label", ["../outside", "a/b", "", "A", ".hidden", "x" * 201, "a\n"])
def test_a_task_has_the_name_of_a_file(label):
    with pytest.raises(ValueError, match="tasks"):
        _report(tasks={label: _score()})


def test_a_report_has_no_more_than_200_tasks():
    assert len(_report(tasks={f"t{n}": _score() for n in range(200)}).tasks) == 200
    with pytest.raises(ValueError, match="tasks"):
        _report(tasks={f"t{n}": _score() for n in range(201)})


def test_answers_beyond_the_largest_number_are_not_read(tmp_path, monkeypatch):
    row = {"key": "k", "sample": "s", "text": "t", "tokens": 1, "prompt_tokens": 1, "finish": "stop"}
    with answers_log(tmp_path, "gsm8k") as log:
        log.append([row, row])
    monkeypatch.setattr("edgelm.report.MAX_ROWS", 1)
    with pytest.raises(BadFile, match="too large"):
        read_answers(tmp_path, "gsm8k")
