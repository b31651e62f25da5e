"""The Python side: answers read, errors by kind, and the last words of a runner that died. The runner is a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import BadFile, BadOption, EdgelmError, Unsupported
from edgelm.native.runner import Runner, Token, command, started

READY = {
    "ready": {
        "runner": "1", "llama.cpp": "0.5", "arch": "llama", "parameters": 7, "vocab": 9, "context": 256, "trained": 512,
        "bos": None, "eos": [2], "threads": 2, "load_ns": 5, "memory": {"VmHWM": 4, "VmRSS": 3}, "later": "more",
    }
}  # fmt: skip
SCRIPT = """
import json, sys
answers = json.loads(sys.argv[1])
for line in answers[0]:
    print(line if isinstance(line, str) else json.dumps(line), flush=True)
for lines, question in zip(answers[1:], sys.stdin):
    print("asked " + question.strip(), file=sys.stderr, flush=True)
    for line in lines:
        print(line if isinstance(line, str) else json.dumps(line), flush=True)
{end}
"""


def play(*answers: list[Any], end: str = "sys.stdin.read()") -> Runner:
    """A runner that says these lines, the first ones unasked and then some for each question."""
    return started([sys.executable, "-c", SCRIPT.replace("{end}", end), json.dumps(answers)])


def failure(kind: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "what": "no", "mend": "do it"}}


def test_the_command_line_names_what_is_asked_for() -> None:
    assert command("r", "m", context=5) == ["r", "--model", "m", "--context", "5"]
    words = command("r", "m", context=5, threads=2, memory_limit=9)
    assert words[5:] == ["--threads", "2", "--memory-limit", "9"]


def test_answers_are_read() -> None:
    tokens = [{"token": 4, "text": "a", "ns": 10}, {"token": 5, "text": "b", "ns": 20}]
    done = {
        "done": {
            "ids": [4, 5],
            "text": "ab",
            "prompt_tokens": 3,
            "arrived_ns": [10, 20],
            "finish": "length",
            "memory": {},
        }
    }
    rates = {"copy_bytes_per_second": 1.0, "read_bytes_per_second": 2.0, "matrix_operations_per_second": 3.0}
    heard: list[Token] = []
    with play([READY], [*tokens, done], [{"score": {"logs": [-0.5], "greedy": True}}], [{"logits": [[3, 1.5]]}],
              [{"ids": [1]}], [{"rates": rates}], [{"memory": {"Pss": 6}}]) as runner:  # fmt: skip
        assert (runner.ready.llama_cpp, runner.ready.bos, runner.ready.foretold) == ("0.5", None, None)
        assert runner.generate([1, 2, 3], 2, heard=heard.append).ids == [4, 5]
        assert [(token.id, token.ns) for token in heard] == [(4, 10), (5, 20)]
        assert runner.score([1, 2], 1).logs == [-0.5]
        assert runner.logits([1], 1) == [(3, 1.5)]
        assert runner.tokenize("x") == [1]
        assert runner.rates(1).read_bytes_per_second == 2
        assert runner.memory() == {"Pss": 6}


@pytest.mark.parametrize(("kind", "error"), [
    ("memory", Unsupported), ("file", BadFile), ("option", BadOption), ("internal", EdgelmError), ("new", EdgelmError),
])  # fmt: skip
def test_errors_come_by_their_kind(kind: str, error: type[EdgelmError]) -> None:
    with pytest.raises(error, match="the runner: no\nmend: do it"):
        play([failure(kind)])
    with play([READY], [failure(kind)], [{"ids": [1]}]) as runner:
        with pytest.raises(error) as caught:
            runner.tokenize("x")
        assert type(caught.value) is error
        assert runner.tokenize("y") == [1]


@pytest.mark.parametrize("line", ["nonsense", "[1]", "{}", '{"ready": {"runner": 5}}', '{"ready": null}'])
def test_what_is_no_answer_is_told(line: str) -> None:
    with pytest.raises(EdgelmError, match="no answer"):
        play([line])


def test_a_dead_runner_leaves_its_last_words() -> None:
    end = "print('killed by a cosmic ray', file=sys.stderr); sys.exit(5)"
    with pytest.raises(EdgelmError, match="ended with 5: killed by a cosmic ray"):
        play([], end=end)
    runner = play([READY], [{"token": 4, "text": "a", "ns": 1}], end=end)
    with runner, pytest.raises(EdgelmError, match=r"ended with 5(.|\n)*cosmic ray"):
        runner.generate([1], 5, heard=lambda token: None)
    with runner, pytest.raises(EdgelmError, match="has ended"):
        runner.memory()


def test_an_answer_cut_off_is_none() -> None:
    with pytest.raises(EdgelmError, match="ended with 1"):
        play([], end="print('{\"ready\": {', end='', flush=True); sys.exit(1)")


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be run"):
        started([str(tmp_path / "none")])


def test_a_full_log_does_not_stop_it() -> None:
    flood = "[print('x' * 1000, file=sys.stderr) for _ in range(500)]"
    with play([READY], [], end=f"{flood}; print(json.dumps({{'ids': [7]}}), flush=True); sys.stdin.read()") as runner:
        assert runner.tokenize("x") == [7]
