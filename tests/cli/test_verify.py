"""`edgelm verify` on the command line: its options, exit codes and table, over findings made elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.cli import verify as verb
from edgelm.files import write_json
from edgelm.verify.rescored import Rescoring
from edgelm.verify.result import Result, Verdict
from edgelm.verify.run import Settings, Verified

SECRET = "00112233445566778899aabbccddeeff"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Enough of a package to be opened."""
    write_json(tmp_path / "package/edgelm.json", {})
    return tmp_path / "package"


@pytest.fixture
def run(edgelm: Run, package: Path, tmp_path: Path) -> Run:
    return functools.partial(edgelm, "verify", package, "--rules", "miniature", "-o", tmp_path / "out")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Verdict], list[Settings]]:
    """`asked("valid")`: what the verb is to find from now on; the settings that it asks with are kept."""
    kept: list[Settings] = []

    def finds(verdict: Verdict) -> list[Settings]:
        def look(submission: Any, data: Any, out: Path, settings: Settings, around: Any) -> Verified:
            kept.append(settings)
            result = Result("M-03", "one prompt repeated", verdict, "3 % faster")
            return Verified({"base": [result]}, Rescoring("ab" * 32, ()))

        monkeypatch.setattr(verb, "run", look)
        return kept

    return finds


@pytest.mark.parametrize(("verdict", "code"), [("valid", 0), ("doubtful", 1), ("invalid", 1)])
def test_the_exit_code_is_the_verdict(
    run: Run, asked: Callable[[Verdict], list[Settings]], verdict: Verdict, code: int
) -> None:
    asked(verdict)
    ended, out, err = run("--seed", SECRET)
    assert ended == code and "M-03" in out and verdict in out and "verify.json" in err
    ended, out, _ = run("--seed", SECRET, "--json")
    assert ended == code and json.loads(out)["verdict"] == verdict
    assert SECRET not in out + err


def test_options_and_the_rules_workload_reach_the_run(
    run: Run, asked: Callable[[Verdict], list[Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = asked("valid")
    monkeypatch.setenv("EDGELM_SEED", SECRET)
    run()
    run("--repeats", "2", "--prompts", "5", "--reference", f"base={tmp_path}", "--engine", "hf:batch=2")
    plain, other = kept
    assert (plain.workload.prompt_tokens, plain.workload.generated_tokens, plain.workload.repeats) == (192, 64, 3)
    assert plain.engine is None and plain.prompts == 32 and plain.references == {}
    assert plain.seed.secret == bytes.fromhex(SECRET)
    assert other.workload.repeats == 2 and other.prompts == 5 and other.references == {"base": tmp_path}
    assert other.engine is not None and other.engine.identity["batch"] == 2


@pytest.mark.parametrize(("words", "said"), [
    (("--seed", "12"), "openssl rand"), (("--seed", SECRET, "--reference", "base"), "SLOT=FOLDER"),
    (("--seed", SECRET), "edgelm.json"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_mend(run: Run, words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    code, _, err = run(*words)
    assert code == 2 and said in err and not (tmp_path / "out").exists()
