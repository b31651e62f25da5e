"""The verb: exit codes, what is missing from a kit as a table or JSON, and links that no checker would fetch."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.check.run import check
from edgelm.checkpoint import Card, Checkpoint
from edgelm.errors import EXIT_FINDINGS, EXIT_GOOD, EXIT_INPUT
from edgelm.rules.miniature import Miniature

Run = Callable[..., tuple[int, str, str]]
TABLE = "CommonsenseQA,GSM8K,CHID\n26.51,12.6,28.123\n"


@pytest.fixture
def model(make_checkpoint: Callable[..., Path]) -> Path:
    folder = make_checkpoint("llama", num_hidden_layers=1, dtype="float16")
    Checkpoint(folder).write_card(Card(base="tiny/base", derivation="compressed"))
    return folder


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    (tmp_path / "kit/Source-Code").mkdir(parents=True)
    (tmp_path / "kit/Source-Code/README.md").write_text("make\n")
    (tmp_path / "kit/Results.csv").write_text(TABLE)
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof/error.txt").write_text("no phone\n")
    return tmp_path / "kit"


@pytest.fixture
def run(edgelm: Run) -> Run:
    return functools.partial(edgelm, "pack")


def test_a_kit_that_lacks_something_ends_with_1_and_writes_nothing(run: Run, kit: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, err = run("--from-kit", kit, "--rules", "miniature", "-o", out)
    assert code == EXIT_FINDINGS
    assert "base: no checkpoint" in said and "--team NAME" in said
    assert "nothing is packed" in err and "Saved_Model.txt is not there" in err
    code, said, _ = run("--from-kit", kit, "--rules", "miniature", "-o", out, "--json")
    missing = json.loads(said)["missing"]
    assert code == EXIT_FINDINGS
    assert {"what": "the team's name", "mend": "add --team NAME", "needed": True} in missing
    assert not out.exists()


def test_with_what_it_needs_a_kit_is_packed_and_passes(run: Run, kit: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = (f"base={model}", "--proof", f"base={tmp_path / 'proof'}", "--team", "red", "--rules", "miniature")
    code, _, err = run("--from-kit", kit, *given, "-o", out)
    assert code == EXIT_GOOD
    assert "packed" in err
    assert (out / "results.csv").read_text().splitlines()[1] == "base,26.51,,12.6,,,28.123,,,"
    assert (out / "source/README.md").read_text() == "make\n"
    assert (out / "source/opencompass/base/Model_Opencompass.py").is_file()
    assert not [found for found in check(out, Miniature()) if found.severity in "ER"]


@pytest.mark.parametrize(("link", "named"), [
    ("models/base/checkpoint/model.safetensors", "PATH=URL"),
    ("models/base/checkpoint/model.safetensors=http://huggingface.co/a", "https is needed"),
    ("models/base/checkpoint/model.safetensors=http://example.org/a", "one of huggingface.co, github.com"),
    ("models/base/checkpoint/model.safetensors=https://me:secret@huggingface.co/a", "password"),
    ("models/base/checkpoint/model.safetensors=https://127.0.0.1/a", "no public address"),
    ("models/base/checkpoint/model.safetensors=https://drive.example.org/a", "is none of"),
    ("source/README.md=https://huggingface.co/a", "read in the package"),
    ("models/base/checkpoint/weights=https://huggingface.co/a", "no file of the package called"),
])  # fmt: skip
def test_a_link_that_would_be_refused_is_refused_here(
    run: Run, model: Path, tmp_path: Path, link: str, named: str
) -> None:
    words = (f"base={model}", "--team", "red", "--rules", "miniature", "-o", tmp_path / "out", "--link", link)
    code, _, err = run(*words)
    assert code == EXIT_INPUT
    assert named in err and "secret" not in err
    assert not (tmp_path / "out").exists()


def test_team_and_place_are_asked_for(run: Run, model: Path, tmp_path: Path) -> None:
    code, _, err = run(f"base={model}", "--rules", "miniature", "-o", tmp_path / "out")
    assert code == EXIT_INPUT
    assert "--team NAME" in err
    assert run(f"base={model}", "--team", "red", "--rules", "miniature")[0] == EXIT_INPUT


def test_every_model_that_is_not_given_is_named_with_the_options(run: Run, model: Path, tmp_path: Path) -> None:
    code, _, err = run(f"phi-2={model}", "--team", "red", "-o", tmp_path / "out")
    assert code == EXIT_INPUT
    assert "--omit llama-3-8b=REASON --omit qwen-7b=REASON" in err and "llama-3-8b=CHECKPOINT" in err


@pytest.mark.parametrize("name", ["sub.tar.zst", "sub.tar", "sub.TGZ"])
def test_an_archive_that_is_not_written_is_refused_with_the_one_that_is(
    run: Run, model: Path, tmp_path: Path, name: str
) -> None:
    code, _, err = run(f"base={model}", "--team", "red", "--rules", "miniature", "-o", tmp_path / name)
    assert code == EXIT_INPUT and f"-o {tmp_path / 'sub.zip'}" in err
    assert not (tmp_path / name).exists()


def test_a_zip_may_be_written_large(run: Run, model: Path, tmp_path: Path) -> None:
    assert run(f"base={model}", "--team", "red", "--rules", "miniature", "-o", tmp_path / "sub.ZIP")[0] == EXIT_GOOD
    assert zipfile.is_zipfile(tmp_path / "sub.ZIP")
