"""The four kinds of packs: what is asked, what is expected, what earns a mark."""

import json

import pytest

from edgelm.errors import Unsupported
from edgelm.report import FULL_MARK
from edgelm.tasks.holdout import kinds as module
from edgelm.tasks.holdout.load import holdout_tasks
from edgelm.tasks.sandbox import programs


@pytest.fixture
def made(holdout):
    """A pack's task and the samples of its rows."""

    def make(pack, rows, **options):
        ((task, data),) = holdout_tasks(holdout({"x.json": pack, "x.jsonl": rows}), **options)
        return task, task.samples(data)

    return make


def test_a_choice_is_asked_by_letters_behind_the_exemplars(made, choice, ethics):
    task, samples = made(choice, ethics)
    assert samples[1].prompt.base_text() == (
        "1+1?\nA. 2\nB. 3\nAnswer:\nA\nQuestion 1?\nA. yes 1\nB. no 1\nC. maybe\nAnswer:"
    )
    assert task.score(samples[1], "B.") == FULL_MARK and task.score(samples[1], "A, because") == 0


@pytest.mark.parametrize(("letter", "answer", "right"), [
    ("first-option", "The answer is B, not this", True), ("first-capital", "The answer is B", False),
    ("first-capital", "it is B", True), ("last-option", "Not A but B", True), ("last-option", "B or C", False),
    ("first-option", "D", False), ("last-option", "", False),
])  # fmt: skip
def test_the_letter_is_found_as_the_pack_says(made, choice, ethics, letter, answer, right):
    task, samples = made(choice | {"letter": letter}, ethics)
    assert (task.score(samples[1], answer) == FULL_MARK) is right


@pytest.mark.parametrize(("match", "reference", "answer", "right"), [
    ("exact", "Paris", " Paris\n", True), ("exact", "Paris", "paris", False),
    ("normalised", ["Paris", "City of Light"], "the city of LIGHT.", True), ("normalised", "Paris", "In Paris", False),
    ("number", 42, "I count 41, no: 42.0", True), ("number", "1,000", "1000", True), ("number", 0.5, "1/2", False),
    ("number", [1, 2], "2", True), ("number", 1, "none", False),
])  # fmt: skip
def test_a_free_answer_is_held_against_its_references(made, match, reference, answer, right):
    task, samples = made({"kind": "free", "prompt": "{q}", "match": match}, [{"q": "?", "answer": reference}])
    assert (task.score(samples[0], answer) == FULL_MARK) is right


@pytest.mark.parametrize(("by", "logs", "right"), [
    ("sum", [-1.0, -2.0], 0), ("sum", [-2.0, -1.0], 1), ("byte", [-1.0, -2.0], 1), ("byte", [-1.0, -20.0], 0),
])  # fmt: skip
def test_the_likeliest_choice_counts_plain_or_per_byte(made, by, logs, right):
    row = {"q": "Say", "choices": ["no", "certainly"], "answer": "A"}
    task, (first, second) = made({"kind": "likelihood", "prompt": "{q}", "by": by}, [row, row | {"answer": 1}])
    assert first.choices == (" no", " certainly") and first.prompt.base_text() == "Say"
    assert task.score((first, second)[right], json.dumps(logs)) == FULL_MARK
    assert task.score((second, first)[right], json.dumps(logs)) == 0


class Room:
    """Stands for a sandbox: programs run here, for they are ours."""

    def conditions(self):
        return {"sandbox": "room"}


def _ends_well(sandbox, program):
    assert isinstance(sandbox, Room)
    try:
        exec(program, {})
    except Exception:
        return False
    return True


def test_a_program_must_run_to_its_end_with_the_tests_behind_it(made, monkeypatch):
    asked = []
    monkeypatch.setattr(programs, "bubblewrap", lambda limits: asked.append(limits) or Room())
    monkeypatch.setattr(module, "ends_well", _ends_well)
    pack = {"kind": "code", "prompt": "{q}", "program": "{head}{answer}\n{test}", "seconds": 2.0, "memory": 128}
    task, samples = made(pack, [{"q": "double", "head": "def f(x):\n", "test": "assert f(2) == 4  # {answer}"}])
    assert task.score(samples[0], "    return 2 * x") == FULL_MARK
    assert task.score(samples[0], "Here:\n```python\n    return 2 * x\n```\nDone.") == FULL_MARK
    assert task.score(samples[0], "    return x") == task.score(samples[0], "") == 0
    assert task.score(samples[0], "    return '{test}'") == 0, "an answer's braces stay as they are"
    assert task.conditions() == {"sandbox": "room"}
    assert {(limits.seconds, limits.memory) for limits in asked} == {(2.0, 128 << 20)}


def test_programs_run_in_the_real_sandbox(made, tmp_path):
    (tmp_path / "seen").write_text("x")
    pack = {"kind": "code", "prompt": "{q}", "seconds": 2.0}
    task, samples = made(pack, [{"q": "?", "test": "assert f() == 1"}])
    try:
        assert "bubblewrap" in task.conditions()["sandbox"]
    except Unsupported as error:
        pytest.skip(str(error))
    answers = ["def f():\n    return 1", "def f():\n    return 2", "f = lambda: 1\nimport os\nos._exit(0)",
               f"f = lambda: len(open({str(tmp_path / 'seen')!r}).read())",
               "def f():\n    while True: pass"]  # fmt: skip
    assert task.score_all([(samples[0], answer) for answer in answers]) == [FULL_MARK, 0, 0, 0, 0]


def test_programs_run_unconfined_only_when_told_so_by_name(made):
    pack = {"kind": "code", "prompt": "{q}"}
    task, samples = made(pack, [{"q": "?", "test": "assert f() == 1"}], confinement="none")
    assert task.score(samples[0], "def f():\n    return 1") == FULL_MARK
    assert task.score(samples[0], "def f():\n    return 2") == 0
    rows = [(samples[0], f"def f():\n    return {n}") for n in (2, 1)]
    assert task.score_all(rows) == [0, FULL_MARK]
    assert "NONE" in task.conditions()["sandbox"]
