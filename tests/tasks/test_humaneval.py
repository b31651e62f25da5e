"""HumanEval: which part of an answer is run, behind which prompt, and what the `fixed` scorer finds beside."""

import gzip
import hashlib
import json

import pytest

from edgelm.chat import ask
from edgelm.errors import BadFile, Unsupported
from edgelm.plugins import parse
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Sample
from edgelm.tasks.humaneval import ROWS, HumanEval, first_block, program
from edgelm.tasks.python_answer import repaired
from edgelm.tasks.sandbox.base import Limits
from edgelm.tasks.sandbox.bubblewrap import bubblewrap

PROBLEM = {
    "task_id": "HumanEval/0", "entry_point": "double",
    "prompt": 'def double(x: int) -> int:\n    """ Twice x.\n    """\n',
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-3) == -6\n",
}  # fmt: skip
SAMPLE = Sample("HumanEval/0", 0, ask("?"), PROBLEM)
WHOLE = "def double(x):\n    return 2 * x\n"


@pytest.fixture(scope="module")
def sandbox():
    try:
        return bubblewrap(Limits())
    except Unsupported as error:
        pytest.skip(f"no sandbox can be had here: {error}")


# What is asked


def test_the_prompts_of_all_rows_are_those_of_opencompass(upstream, golden):
    wanted, samples = golden("prompt_hashes")["openai_humaneval"], HumanEval().samples(upstream)
    assert [sample.index for sample in samples] == list(range(wanted["rows"]))
    assert (samples[0].id, samples[-1].id) == ("HumanEval/0", "HumanEval/163")
    base = "\0".join(sample.prompt.base_text() for sample in samples)
    chats = json.dumps([sample.prompt.messages() for sample in samples], ensure_ascii=False)
    assert hashlib.sha256(base.encode()).hexdigest() == wanted["base_prompts_sha256"]
    assert hashlib.sha256(chats.encode()).hexdigest() == wanted["chat_messages_sha256"]


def test_rows_are_read_and_a_damaged_one_is_named(own):
    (sample,) = HumanEval().samples(own({ROWS: gzip.compress(json.dumps(PROBLEM).encode() + b"\n")}))
    assert sample.prompt.base_text() == f"Complete the following python code:\n{PROBLEM['prompt']}"
    assert sample.reference == PROBLEM
    for content in (b"no gzip", gzip.compress(b'{"task_id": "x"}\n'), gzip.compress(b"[]\n")):
        with pytest.raises(BadFile):
            HumanEval().samples(own({ROWS: content}))


def test_the_scorers_have_names_of_their_own_and_share_the_prompts(own):
    data = own({ROWS: gzip.compress(json.dumps(PROBLEM).encode() + b"\n")})
    official, fixed = HumanEval(), parse("tasks", "humaneval:scorer=fixed")
    assert (official.label, official.version) == ("humaneval", "humaneval-8e312c")
    assert (fixed.label, fixed.version) == ("humaneval-fixed", "humaneval-8e312c+fixed-1")
    assert official.samples(data) == fixed.samples(data)
    assert official.max_tokens == fixed.max_tokens == 512 and official.stop == fixed.stop == ()


# Which part of an answer is run

ANSWERS = [  # answer, right by the official rule, right by the fixed one
    ("    return 2 * x", True, True),
    ("    return 2 * x\n", True, True),
    ("    return 3 * x", False, False),
    ("", False, False),
    ("I cannot do that.", False, False),
    (WHOLE, True, True),
    (f"```python\n{WHOLE}```", True, True),
    (f"```\n{WHOLE}```", True, True),
    (f"Here it is:\n```python\n{WHOLE}```\nIt doubles.", True, True),
    (f"```python3\n{WHOLE}```", True, True),
    ("```python\n    return 2 * x\n```", True, True),
    (f"Use\n```\n{WHOLE}```\nor\n```\ndef double(x):\n    return 0\n```", True, True),
    ("```python\nreturn 2 * x\n```", False, True),
    ("return 2 * x", False, True),
    ("y = x\n    return y + y", False, True),
    ("if x > 0:\n        return 2 * x\n    return x + x", False, True),
    ("if x > 0:\n    return 2 * x\nreturn x + x", False, True),
    ("y = x\ny = y + x\nreturn y", False, True),
    (f"```python\n{WHOLE}", False, True),
    (f"``` python\n{WHOLE}```", False, True),
    (f"Install it:\n```\npip install double\n```\nThen:\n```python\n{WHOLE}```", False, True),
    (f"Here it is:\n{WHOLE}", False, True),
    (f"{WHOLE}\nIt doubles its argument.", False, True),
    ("    return 2 * x\n\n\ndef next(x):\n    return (x +", False, True),
    ("  ```python\n  def double(x):\n      return 2 * x\n  ```", False, True),
    (f"```python\nimport math\n\n{WHOLE}\nprint(double(", False, True),
    ("    import sys\n    sys.exit(0)", False, False),
    ("```python\nimport os\nos._exit(0)\n```", False, False),
]  # fmt: skip


def test_marks_of_answers_of_every_shape(sandbox):
    rows = [(SAMPLE, answer) for answer, _, _ in ANSWERS]
    for spec, column in (("humaneval", 1), ("humaneval:scorer=fixed", 2)):
        marks = parse("tasks", spec).score_all(rows)
        wrong = [row[0] for row, mark in zip(ANSWERS, marks, strict=True) if (mark == FULL_MARK) is not row[column]]
        assert wrong == []


@pytest.mark.parametrize(("answer", "block"), [
    ("no fence", "no fence"), ("```\na\n```", "a\n"), ("```py\na```", "a"), ("```py a\n```", "```py a\n```"),
    ("```a\n```b\n```", ""), ("x```\na\n```\n```\nb\n```", "a\n"), ("```\na", "```\na"), ("```\n```", ""),
    ("```c++\na\n```", "```c++\na\n```"),
])  # fmt: skip
def test_the_official_rule_takes_the_first_closed_fence(answer, block):
    assert first_block(answer) == block


def test_the_prompt_is_always_prepended_and_the_tests_follow():
    assert program(SAMPLE, "    return 1") == (f"{PROBLEM['prompt']}    return 1\n{PROBLEM['test']}\ncheck(double)")


@pytest.mark.parametrize("answer", ["", "\0", "(" * 10_000, "```\n```", "\ud800", "-" * 50_000 + "1", "```"])
def test_repairing_never_fails(answer):
    assert isinstance(repaired(answer, PROBLEM), str)


# The whole of it


@pytest.mark.slow
def test_all_canonical_solutions_pass(sandbox, shared, upstream):
    rows = [json.loads(line) for line in gzip.decompress((shared / "data" / ROWS).read_bytes()).splitlines()]
    task = HumanEval()
    pairs = list(zip(task.samples(upstream), [row["canonical_solution"] for row in rows], strict=True))
    assert task.score_all(pairs) == [FULL_MARK] * 164
    assert task.aggregate({None: [FULL_MARK] * 112 + [0] * 52}) == pytest.approx(68.2927, abs=1e-4)


def test_no_program_runs_without_a_sandbox_unless_told_so_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    bubblewrap.cache_clear()
    with pytest.raises(Unsupported, match="sandbox=none"):
        HumanEval().score_all([(SAMPLE, WHOLE)])
    with pytest.raises(Unsupported, match="sandbox=none"):
        HumanEval().conditions()
    unconfined = parse("tasks", "humaneval:sandbox=none")
    assert unconfined.score(SAMPLE, WHOLE) == FULL_MARK
    assert unconfined.conditions()["sandbox"].startswith("NONE")
