"""Bad input gives a clear error with its mend and exit code 2, and nothing that looks finished is left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.cli import main
from edgelm.errors import EXIT_INPUT

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: its exit code and what it wrote to stderr."""

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edgelm", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()  # what fixtures printed
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capfd.readouterr().err

    return call


@pytest.fixture
def model(make_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return shutil.copytree(make_checkpoint("llama"), tmp_path / "model")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A small miniature suite that a test may break."""
    from edgelm.data.miniature import write

    write(tmp_path / "suite", rows=4, train_rows=8)
    return tmp_path / "suite"


def _break_json(folder: Path, name: str) -> None:
    (folder / name).write_text("{broken")


def _truncate(folder: Path, name: str, keep: int) -> None:
    os.truncate(folder / name, keep)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _own_suite_file(suite: Path, name: str, content: bytes) -> None:
    """Change a file of a suite together with its digest, so that the content itself is what is wrong."""
    from edgelm.files import sha256_bytes

    (suite / name).write_bytes(content)
    listing = json.loads((suite / "suite.json").read_text())
    listing["files"][name] = sha256_bytes(content)
    (suite / "suite.json").write_text(json.dumps(listing))


# What is wrong with the checkpoint: how to break it, and what the error must name.
BROKEN_CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda model: (model / "config.json").unlink(), "config.json"),
    "unreadable config": (lambda model: _break_json(model, "config.json"), "not valid JSON"),
    "config of another kind": (lambda model: _edit(model / "config.json", model_type="mystery"), "mystery"),
    "wrong dimension": (lambda model: _edit(model / "config.json", num_hidden_layers=-1), "num_hidden_layers"),
    "no weights": (lambda model: (model / "model.safetensors").unlink(), "safetensors"),
    "truncated weights": (lambda model: _truncate(model, "model.safetensors", 40_000), "model.safetensors"),
    "empty weights": (lambda model: _truncate(model, "model.safetensors", 0), "model.safetensors"),
    "broken card": (lambda model: (model / "card.json").write_text('{"prompting": "loud"}'), "prompting"),
    "broken tokenizer": (lambda model: _break_json(model, "tokenizer.json"), "tokenizer"),
}


@pytest.mark.parametrize("case", BROKEN_CHECKPOINTS)
def test_a_broken_checkpoint_is_named(case: str, run: Run, model: Path, suite: Path, tmp_path: Path) -> None:
    damage, named = BROKEN_CHECKPOINTS[case]
    damage(model)
    code, message = run("evaluate", model, "--data", suite, "--limit", "1", "-o", tmp_path / "report")
    _assert_refused(code, message, named)
    assert not (tmp_path / "report" / "report.json").exists()


def test_missing_checkpoint(run: Run, tmp_path: Path) -> None:
    _assert_refused(*run("evaluate", tmp_path / "nowhere", "-o", tmp_path / "r"), "nowhere")


def test_unknown_task_names_the_nearest(run: Run, model: Path, tmp_path: Path) -> None:
    code, message = run("evaluate", model, "-t", "gsm9k", "-o", tmp_path / "r")
    _assert_refused(code, message, "did you mean 'gsm8k'?")


def test_unknown_verb(run: Run) -> None:
    assert run("evalaute")[0] == EXIT_INPUT


@pytest.mark.parametrize(
    ("spec", "named"),
    [("depht:drop=1", "depth"), ("depth:dorp=1", "drop"), ("depth:drop=many", "whole number"),
     ("depth:drop", "key=value"), ("depth:drop=99", "99"), ("width:ffn=100000", "100000")],
)  # fmt: skip
def test_bad_step(spec: str, named: str, run: Run, model: Path, tmp_path: Path) -> None:
    _assert_refused(*run("compress", model, spec, "-o", tmp_path / "small"), named)
    assert not (tmp_path / "small").exists()


def test_output_that_exists_is_kept(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    _assert_refused(*run("compress", model, "depth:drop=1", "-o", tmp_path / "taken"), "exists already")
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "years of work"


def test_missing_data_folder(run: Run, model: Path, tmp_path: Path) -> None:
    _assert_refused(*run("evaluate", model, "--data", tmp_path / "no", "-o", tmp_path / "r"), "no data folder")


def test_data_that_would_have_to_be_fetched(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    code, message = run("evaluate", model, "-t", "chid", "--offline", "-o", tmp_path / "r")
    _assert_refused(code, message, "chid/test_public.json")
    assert "EDGELM_DATA" in message


def test_empty_data_file(run: Run, model: Path, suite: Path, tmp_path: Path) -> None:
    _own_suite_file(suite, "gsm8k/test.jsonl", b"")
    _assert_refused(*run("evaluate", model, "-t", "gsm8k", "--data", suite, "-o", tmp_path / "r"), "empty")


def test_changed_data_file(run: Run, model: Path, suite: Path, tmp_path: Path) -> None:
    with (suite / "gsm8k" / "test.jsonl").open("a") as file:
        file.write('{"question": "1 + 1?", "answer": "#### 2"}\n')
    _assert_refused(*run("evaluate", model, "-t", "gsm8k", "--data", suite, "-o", tmp_path / "r"), "pinned edition")


def test_data_with_the_wrong_column(run: Run, model: Path, suite: Path, tmp_path: Path) -> None:
    _own_suite_file(suite, "gsm8k/test.jsonl", b'{"problem": "1 + 1?", "answer": "#### 2"}\n')
    _assert_refused(*run("evaluate", model, "-t", "gsm8k", "--data", suite, "-o", tmp_path / "r"), "question")


def test_unreadable_line_of_data(run: Run, model: Path, suite: Path, tmp_path: Path) -> None:
    _own_suite_file(suite, "gsm8k/test.jsonl", b'{"question": \xff\n')
    _assert_refused(*run("evaluate", model, "-t", "gsm8k", "--data", suite, "-o", tmp_path / "r"), "line 1")


def test_nothing_to_ask(run: Run, model: Path, tmp_path: Path) -> None:
    _assert_refused(*run("evaluate", model, "--limit", "0", "-o", tmp_path / "r"), "--limit 0")


def test_chat_without_a_template(run: Run, model: Path, suite: Path, tmp_path: Path) -> None:
    (model / "chat_template.jinja").unlink()
    code, message = run("evaluate", model, "--prompting", "chat", "--data", suite, "-o", tmp_path / "r")
    _assert_refused(code, message, "--prompting base")


def test_report_of_another_checkpoint_is_not_overwritten(
    run: Run, model: Path, suite: Path, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    words = ["-t", "chid", "--limit", "1", "--data", suite, "-o", tmp_path / "r"]
    assert run("evaluate", model, *words)[0] == 0
    before = (tmp_path / "r" / "report.json").read_bytes()
    _assert_refused(*run("evaluate", make_checkpoint("qwen2"), *words), "another checkpoint")
    assert (tmp_path / "r" / "report.json").read_bytes() == before


def test_workload_longer_than_the_context(run: Run, model: Path, tmp_path: Path) -> None:
    _assert_refused(*run("measure", model, "-o", tmp_path / "m"), "256")
    assert not (tmp_path / "m").exists()


def test_quantised_weights_are_not_exported(run: Run, model: Path, tmp_path: Path) -> None:
    _edit(model / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    _assert_refused(*run("deploy", model, "gguf", "-o", tmp_path / "b"), "quant")
    assert not (tmp_path / "b").exists()


def test_full_disk(run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("edgelm.compress.stream.writing._write", full)
    _assert_refused(*run("compress", model, "depth:drop=1", "-o", tmp_path / "small"), "no space left")
    assert not (tmp_path / "small").exists()
    assert [path.parent.name for path in tmp_path.glob(".small*/*/done.json")] == ["0-depth"]  # is not done again


def test_unknown_rule_set(run: Run, tmp_path: Path) -> None:
    _assert_refused(*run("score", tmp_path, "--rules", "neurips-2042", "-o", tmp_path / "board"), "neurips-2024")


def test_submission_without_a_manifest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    _assert_refused(*run("score", tmp_path / "entry", "-o", tmp_path / "board"), "edgelm.json")
    assert not (tmp_path / "board").exists()


def _assert_refused(code: int, message: str, named: str) -> None:
    assert code == EXIT_INPUT, message
    assert "error: " in message, message
    assert "mend: " in message, message
    assert named in message, message
    assert "Traceback" not in message
