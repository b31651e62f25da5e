"""The runner's lines: hostile ones are answered with an error, and so are hostile files; memory has its limits."""

from __future__ import annotations

import json
import random
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import BadFile, BadOption, Unsupported
from edgelm.native.runner import command, started

GOOD = b'{"op":"generate","ids":[5,6],"max_tokens":2,"ignore_end":true}'


def talk(words: list[str], text: bytes, **settings: Any) -> tuple[int, list[Any]]:
    done = subprocess.run(words, input=text, capture_output=True, timeout=120, check=False, **settings)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def words(host_runner: Path, exported: Any) -> list[str]:
    return command(str(host_runner), str(exported("llama")[1]), context=64, threads=1)


LINES = [
    b"", b"nonsense", b"[]", b"null", b'"op"', b"{}", b'{"op":"dance"}', b'{"op":["generate"]}', b'{"op":"generate"',
    b'{"op":"generate","ids":[],"max_tokens":2}', b'{"op":"generate","ids":[5],"max_tokens":0}',
    b'{"op":"generate","ids":[5]}', b'{"op":"generate","max_tokens":2}', b'{"op":"generate","ids":5,"max_tokens":2}',
    b'{"op":"generate","ids":[-1],"max_tokens":2}', b'{"op":"generate","ids":[320],"max_tokens":2}',
    b'{"op":"generate","ids":[4294967301],"max_tokens":2}', b'{"op":"generate","ids":[1e2],"max_tokens":2}',
    b'{"op":"generate","ids":[18446744073709551615],"max_tokens":2}',
    b'{"op":"generate","ids":[99999999999999999999999],"max_tokens":2}',
    b'{"op":"generate","ids":["5"],"max_tokens":2}', b'{"op":"generate","ids":[5],"max_tokens":18446744073709551615}',
    b'{"op":"generate","ids":[5],"max_tokens":256}',
    b'{"op":"generate","ids":[5],"text":"a","max_tokens":2}', b'{"op":"generate","ids":[5],"max_tokens":2,"stream":1}',
    b'{"op":"generate","text":7,"max_tokens":2}', b'{"op":"generate","text":"\xff\xfe","max_tokens":2}',
    b'{"op":"generate","text":"\xed\xa0\x80","max_tokens":2}', b'{"op":"generate","text":"\\ud800","max_tokens":2}',
    b'{"op":"score","ids":[5,6],"start":0}', b'{"op":"score","ids":[5,6],"start":3}', b'{"op":"score","start":1}',
    b'{"op":"logits","ids":[5],"top":0}', b'{"op":"logits","ids":[],"top":1}', b'{"op":"logits","ids":[5],"top":9999}',
    b'{"op":"rates"}', b'{"op":"rates","seconds":-1}', b'{"op":"rates","seconds":"1"}', b'{"op":"rates","seconds":1e9}',
    b"\x00\x01\x02", b"[" * 100_000, b'{"op":' * 50_000,
    b'{"op":"generate","ids":[' + b"5," * 100_000 + b'5],"max_tokens":2}',
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=[line[:60].decode(errors="replace") for line in LINES])
def test_a_hostile_line_is_answered_and_the_next_one_too(words: list[str], line: bytes) -> None:
    code, answers = talk(words, line + b"\n" + GOOD + b"\n")
    assert code == 0
    *errors, good = answers[1:]
    assert [error["error"]["kind"] for error in errors] == ["option"] * bool(line)
    assert all(error["error"]["what"] and error["error"]["mend"] for error in errors)
    assert len(good["done"]["ids"]) == 2


def test_a_line_of_fifty_megabytes_is_dropped(words: list[str]) -> None:
    line = b'{"op":"tokenize","text":"' + b"x" * 50_000_000 + b'"}'
    code, (_, error, good) = talk(words, line + b"\n" + GOOD)  # and the last line may lack its end
    assert (code, error["error"]["kind"], len(good["done"]["ids"])) == (0, "option", 2)


def test_quit_ends_it_and_nothing_behind_is_answered(words: list[str]) -> None:
    code, answers = talk(words, b'{"op":"quit"}\n' + GOOD + b"\n")
    assert (code, len(answers)) == (0, 1)


@pytest.mark.parametrize("options", [
    [], ["--model"], ["--model", "x"], ["--context", "5"], ["--model", "x", "--context", "0"],
    ["--model", "x", "--context", "-5"], ["--model", "x", "--context", "99999999999999999999"],
    ["--model", "x", "--context", "5", "--threads", "many"], ["--model", "x", "--context", "5", "--fast"],
    ["--model", "x", "--context", "5", "--kv", "q4"], ["--model", "x", "--context", "5", "--batch", "1"],
])  # fmt: skip
def test_bad_options_are_refused(host_runner: Path, options: list[str]) -> None:
    code, (error,) = talk([str(host_runner), *options], b"")
    assert (code, error["error"]["kind"]) == (2, "option")


def test_no_file_is_loaded_that_is_damaged(host_runner: Path, exported: Any, tmp_path: Path) -> None:
    data, rng = exported("llama")[1].read_bytes(), random.Random(3)
    head = data.index(b"token_embd.weight")
    damaged = [b"", b"GGUF", rng.randbytes(5000), b"GGUF\3\0\0\0" + rng.randbytes(500), data[:head], data[:-100]]
    damaged += [data[: rng.randrange(len(data))] for _ in range(8)]
    file = tmp_path / "model.gguf"
    for number, content in enumerate(damaged):
        file.write_bytes(content)
        limit = 200_000_000 if number % 2 else 0
        with pytest.raises(BadFile, match="cannot be loaded"):
            started(command(str(host_runner), str(file), context=64, threads=1, memory_limit=limit))
    for path in (tmp_path / "none", tmp_path, Path("/dev/zero")):
        with pytest.raises(BadFile, match="there is no file"):
            started(command(str(host_runner), str(path), context=64))


def test_a_file_with_wrong_bytes_never_crashes_it(host_runner: Path, exported: Any, tmp_path: Path) -> None:
    data, rng = exported("llama")[1].read_bytes(), random.Random(4)
    head = data.index(b"token_embd.weight") + 3000
    file = tmp_path / "model.gguf"
    codes = {"done": (0,), "option": (0,), "file": (2,), "memory": (3,), "internal": (0, 3)}
    seen = set()
    for _ in range(40):
        content = bytearray(data)
        for _ in range(rng.choice((1, 1, 8))):
            content[rng.randrange(4, head)] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        file.write_bytes(content)
        code, answers = talk(command(str(host_runner), str(file), context=64, threads=1), GOOD + b"\n")
        told = answers[-1].get("error", {}).get("kind", "done")
        seen.add(told)
        assert code in codes[told]
    assert {"done", "file"} <= seen


def test_what_does_not_fit_the_limit_is_refused_beforehand(host_runner: Path, exported: Any) -> None:
    file = exported("llama")[1]
    with started(command(str(host_runner), str(file), context=64, threads=1, memory_limit=2**31)) as runner:
        needed = runner.ready.foretold
        runner.generate([5] * 60, 4, ignore_end=True)
        peak = runner.memory()["VmHWM"]
        assert needed is not None
        assert peak <= needed < 2 * peak  # a small model: most of it is the program
    with pytest.raises(Unsupported, match="the limit is 1000000"):
        started(command(str(host_runner), str(file), context=64, memory_limit=1_000_000))
    code, (error,) = talk(command(str(host_runner), str(file), context=1 << 24, memory_limit=2**31), b"")
    assert (code, error["error"]["kind"]) == (3, "memory")


def test_what_the_system_refuses_is_an_error_of_memory(host_runner: Path, exported: Any) -> None:
    words = command(str(host_runner), str(exported("llama")[1]), context=400_000, threads=1)
    code, answers = talk(words, b"", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)))
    assert (code, answers[0]["error"]["kind"]) == (3, "memory")


def test_memory_and_rates_are_read(words: list[str]) -> None:
    with started(words) as runner:
        memory, rates = runner.memory(), runner.rates(0.3)
    assert 1_000_000 < memory["VmRSS"] <= memory["VmHWM"]
    assert 1e8 < rates.copy_bytes_per_second < 1e13
    assert 1e8 < rates.read_bytes_per_second < 1e13
    assert 1e8 < rates.matrix_operations_per_second < 1e14


def test_an_unknown_option_value_is_told_to_python(host_runner: Path, exported: Any) -> None:
    with pytest.raises(BadOption, match="threads"):
        started([*command(str(host_runner), str(exported("llama")[1]), context=64), "--threads", "x"])


def test_mapped_weights_answer_alike(words: list[str]) -> None:
    assert talk([*words, "--mmap"], GOOD)[1][1]["done"]["ids"] == talk(words, GOOD)[1][1]["done"]["ids"]
