"""What a run took, by task."""

import pytest

from edgelm.engines.base import Reply
from edgelm.evaluate import times
from edgelm.files import JsonLog

REPLY = Reply("k", "text", tokens=3, prompt_tokens=10, finish="stop")


@pytest.fixture
def now(monkeypatch):
    """A clock that is set by hand."""
    clock = [0.0]
    monkeypatch.setattr(times.time, "monotonic", lambda: clock[0])
    return clock


def test_all_seconds_go_to_loading_or_to_the_task_that_was_answered(now, tmp_path):
    spent = times.Times()
    for second, label in ((5, None), (6, "a"), (6, None), (8, "b"), (9, "a")):
        now[0] = float(second)
        spent.add(label, [REPLY, REPLY], 0.25) if label else spent.loaded()
    assert spent.summary() == "6 answers of 18 tokens in 4.0 s, 1.50 answers a second; loading took 5.0 s"
    spent.write(tmp_path, {"engine": "parrot"}, "one process", {"cores": 2})
    (line,) = JsonLog(tmp_path / times.RUNS).read()
    assert line["loading_seconds"] == 5 and line["seconds"] == {"a": 2, "b": 2}
    assert line["cpu_seconds"] == {"a": 0.5, "b": 0.25} and line["answers"] == {"a": 4, "b": 2}
    assert line["tokens"] == {"a": 12, "b": 6} and line["prompt_tokens"] == {"a": 40, "b": 20}
    assert line["engine"] == {"engine": "parrot"} and line["by"] == "one process" and line["machine"] == {"cores": 2}
    assert line["started"].endswith("+00:00")


def test_runs_follow_each_other_past_a_torn_line(tmp_path):
    (tmp_path / times.RUNS).write_bytes(b"0000")
    for _ in range(2):
        spent = times.Times()
        spent.add("a", [REPLY], 0.0)
        spent.write(tmp_path, {}, "one process", {})
    assert times.Times().summary() == ""
    assert len(JsonLog(tmp_path / times.RUNS).read()) == 2
