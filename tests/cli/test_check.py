"""`edgelm check` on the command line: exit codes, JSON, SARIF, known models and their fingerprints."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.pack import Entry, pack
from edgelm.rules.miniature import Miniature

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(edgelm: Run) -> Run:
    return functools.partial(edgelm, "check", "--rules", "miniature")


@pytest.fixture
def package(make_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A package without report and bundle."""
    checkpoint = Checkpoint(make_checkpoint("llama", dtype="float16"))
    checkpoint.write_card(Card(base="tiny/base", derivation="compressed", data=[Source(name="c4")]))
    pack({"base": Entry(checkpoint.path)}, team="red", track="compression", rules=Miniature(), out=tmp_path / "package")
    return tmp_path / "package"


def test_findings_as_a_table_as_json_and_as_sarif(run: Run, package: Path) -> None:
    code, out, err = run(package)
    assert code == 1 and "BND-01" in out and "refused: what is marked E" in err
    code, out, _ = run(package, "--json")
    found = json.loads(out)
    assert code == 1 and found["worst"] == "E"
    code, out, _ = run(package, "--sarif")
    log = json.loads(out)["runs"][0]
    assert code == 1 and json.loads(out)["version"] == "2.1.0"
    assert [result["ruleId"] for result in log["results"]] == [one["code"] for one in found["findings"]]
    for result in log["results"]:
        rule = log["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"] and rule["help"]["text"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]


def test_by_the_rules_of_a_published_file(edgelm: Run, package: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    for rules, refused in ((Miniature(), False), (Miniature(places=3), True)):
        file.write_bytes(rules.to_bytes())
        _, out, _ = edgelm("check", package, "--rules", file, "--json")
        assert ("SUB-06" in {one["code"] for one in json.loads(out)["findings"]}) is refused
    file.write_text("{}")
    assert edgelm("check", package, "--rules", file)[0] == edgelm("check", package, "--rules", "absent.json")[0] == 2


def test_what_cannot_be_run_ends_with_2(run: Run, package: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "absent")[0] == 2
    assert run(package, "--track", "swimming")[0] == 2
    code, _, err = run(package, "--base", "no-path")
    assert code == 2 and "give NAME=PATH" in err
    code, _, err = run(package, "--base", "a=x", "--base", "a=y")
    assert code == 2 and "the name comes twice" in err
    assert run(package, "--base", "=x")[0] == run(package, "--base", "a=")[0] == 2
    assert run(package, "--base", f"a={tmp_path / 'absent'}")[0] == 2
    assert run(package, "--beside", tmp_path / "absent")[0] == 2
    code, _, err = run(tmp_path / "absent", "--fix")
    assert code == 2 and "there is no submission" in err
    code, _, err = run(package, "--json", "--sarif")
    assert code == 2 and "given together" in err
    for size in ("-1", "0", "nan", "inf"):
        code, _, err = run(package, "--max-gib", size)
        assert code == 2 and f"--max-gib {size}" in err


def test_a_fingerprint_where_nothing_can_be_written(run: Run, package: Path) -> None:
    code, _, err = run(package / "models/base/checkpoint", "--fingerprint", "/proc/x")
    assert code == 2 and "/proc/x cannot be used" in err


def test_a_known_model_by_its_folder_or_its_fingerprint(run: Run, package: Path, tmp_path: Path) -> None:
    checkpoint, file = package / "models/base/checkpoint", tmp_path / "known.json"
    assert run(checkpoint, "--fingerprint", file)[0] == 0
    for place in (checkpoint, file):
        _, out, _ = run(package, "--base", f"other/model={place}", "--json")
        assert "MDL-06" in {one["code"] for one in json.loads(out)["findings"]}
        _, out, _ = run(package, "--base", f"tiny/base={place}", "--json")
        assert "MDL-06" not in {one["code"] for one in json.loads(out)["findings"]}


def test_a_package_that_is_too_large_names_its_largest_files(run: Run, package: Path) -> None:
    _, out, _ = run(package, "--max-gib", "0.0001", "--json")
    (found,) = [one for one in json.loads(out)["findings"] if one["code"] == "PKG-07"]
    assert "largest: models/base/checkpoint/model.safetensors" in found["what"]


def test_fix_says_what_it_mends(run: Run, package: Path) -> None:
    (package / "results.csv").rename(package / "RESULTS.csv")
    _, _, err = run(package, "--fix")
    assert "RESULTS.csv is now results.csv" in err
