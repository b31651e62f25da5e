"""Asked as bare requests and marked apart, a checkpoint has the very report that `edgelm evaluate` makes."""

import json
import shutil

import pytest

pytest.importorskip("torch", reason="the extra `model` is not installed")
pytest.importorskip("cryptography", reason="the extra `sign` is not installed")

from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadFile
from edgelm.evaluate import apart, bare
from edgelm.evaluate.fixed_text import word_perplexity
from edgelm.evaluate.run import evaluate
from edgelm.files import JsonLog
from edgelm.plugins import parse

TASKS = ("commonsenseqa", "gsm8k", "chid")


@pytest.fixture
def rendered(tiny, suite, tmp_path):
    """`rendered("hf", seed=b"x")`: the orders, and the rows of what was rendered."""

    def make(engine="local", seed=b"seed", submission="first"):
        (tmp_path / "seed").write_bytes(seed)
        orders = apart.Orders(checkpoint=tiny, engine=engine, out=tmp_path / "apart", data=suite.root, tasks=TASKS,
                              seed=tmp_path / "seed", submission=submission, track="compression", texts=2)  # fmt: skip
        shutil.rmtree(orders.out, ignore_errors=True)
        orders.out.mkdir()
        apart.render(orders)
        return orders, JsonLog(orders.out / apart.REQUESTS).read()

    return make


@pytest.mark.parametrize("engine", ["hf:batch=4", "local"])
def test_the_report_is_that_of_evaluate(rendered, tiny, suite, tmp_path, finished, engine):
    orders, _ = rendered(engine)
    prompting = json.loads((orders.out / apart.KEYS).read_text())["prompting"]
    answers = tmp_path / "answers.jsonl"
    words = [str(tiny), str(orders.out / apart.REQUESTS), str(answers), engine, prompting, "1"]
    assert bare.main(words) == 0
    marking = orders.model_copy(update={"out": tmp_path / "marked"})
    (marking.out / "log").mkdir(parents=True)
    shutil.copy(answers, marking.out / "log" / "answers.jsonl")
    apart.mark(marking)
    whole = tmp_path / "whole"
    evaluate(Checkpoint(tiny), [(parse("tasks", task), suite) for task in TASKS], parse("engines", engine), whole)
    assert finished(marking.out) == finished(whole)


def test_requests_say_neither_task_nor_row_nor_reference(rendered, suite):
    _, rows = rendered()
    assert {name for row in rows for name in row} == {
        "key", "index", "turns", "base_start", "max_tokens", "stop", "choices",
    }  # fmt: skip
    text = json.dumps(rows)
    expected = [parse("tasks", "gsm8k").samples(suite)[0].id, *TASKS]
    assert not any(word in text for word in expected)
    assert len({row["key"] for row in rows}) == len(rows) == len({row["index"] for row in rows})


def test_the_order_follows_from_secret_and_submission_alone(rendered):
    order = [row["key"] for row in rendered()[1]]
    assert order == [row["key"] for row in rendered()[1]]
    others = [[row["key"] for row in rendered(**change)[1]] for change in ({"seed": b"x"}, {"submission": "second"})]
    assert all(other != order and sorted(other) == sorted(order) for other in others)


def test_rows_that_share_a_batch_stay_together(rendered, suite, tiny):
    orders, rows = rendered("hf:batch=8")
    place = {row["key"]: row["index"] for row in rows}
    keys = json.loads((orders.out / apart.KEYS).read_text())["tasks"]
    for own in keys.values():
        for start in range(0, len(own), 8):
            assert len({place[key] // 8 for key in own[start : start + 8]}) == 1
            assert [place[key] % 8 for key in own[start : start + 8]] == list(range(len(own[start : start + 8])))


def test_timed_texts_differ_and_follow_from_secret_and_track(rendered, tmp_path):
    def texts(**change):
        orders, _ = rendered(**change)
        return json.loads((orders.out / apart.KEYS).read_text())["texts"]

    one = texts()
    assert len(set(one)) == 2 and len(set(map(len, one))) == 1
    assert one == texts(submission="second")
    assert one != texts(seed=b"x")


def test_a_fixed_text_is_asked_among_the_questions_and_weighed(rendered, tiny, tmp_path):
    orders, rows = rendered("hf:batch=4")
    told = json.loads((orders.out / apart.KEYS).read_text())
    key, words = told["fixed"].values()
    assert key in [row["key"] for row in rows] and not any(key in keys for keys in told["tasks"].values())
    asked = [each for each in bare.requests_of(orders.out / apart.REQUESTS) if each.key == key]
    bare.answer_all(Checkpoint(tiny), asked, parse("engines", "hf"), "base", tmp_path / "weighed.jsonl")
    [row] = JsonLog(tmp_path / "weighed.jsonl").read()
    assert word_perplexity(row["text"], words) > 1
    with pytest.raises(BadFile, match="no number"):
        word_perplexity('["1"]', words)


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_shares_hold_all_in_order_and_part_no_batch(rendered, number):
    orders, _ = rendered("hf:batch=4")
    requests = bare.requests_of(orders.out / apart.REQUESTS)
    parts = bare.shares(requests, parse("engines", "hf:batch=4"), number)
    assert len(parts) == number and [each for part in parts for each in part] == requests
    batches = [{each.index // 4 for each in part} for part in parts]
    assert sum(map(len, batches)) == len(set().union(*batches))


def test_orders_that_cannot_be_followed_end_with_a_sentence(rendered, capsys, tmp_path):
    orders, _ = rendered()
    told = orders.model_dump_json()
    assert apart.main(["render", told.replace("gsm8k", "gsm9k")]) == 2
    assert "gsm9k" in capsys.readouterr().err
