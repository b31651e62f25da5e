"""Every mend that is a command is run, and clears its finding."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.codes import CODES
from edgelm.check.fix import fix
from edgelm.check.run import check
from edgelm.cli import main
from edgelm.errors import BadFile, BadOption, MissingInput
from edgelm.files import sha256_file, tree_files
from edgelm.rules import Rules
from edgelm.rules.neurips_2024 import Neurips2024

CARD, CONFIG = "models/base/card.json", "models/base/checkpoint/config.json"


def codes(path: Path, rules: Rules) -> set[str]:
    return {found.code for found in check(path, rules, values=True)}


def rename_all(p: Any) -> None:
    p.rename("models/base/card.json", "models/base/Card.json")
    p.rename("results.csv", "Results.CSV")
    p.edit("edgelm.json", claims="Results.CSV")


FIXES: dict[str, Callable[[Any], object]] = {
    "PKG-08": rename_all,
    "CKP-06": lambda p: p.edit_card(parameters=5, dtype="bfloat16"),
    "DTY-04": lambda p: p.edit_config(dtype="float32", torch_dtype="bfloat16"),
    "CLM-02": lambda p: p.rewrite("results.csv", "GSM8K", "gsm8k_gen"),
    "CLM-13": lambda p: p.write("results.csv", (p.path / "results.csv").read_text().replace("\n", "\r\n")),
}


@pytest.mark.parametrize("code", FIXES)
def test_fix_clears_its_finding_and_leaves_none(package: Any, rules: Rules, code: str) -> None:
    weights = sha256_file(package.weights)
    FIXES[code](package)
    assert code in codes(package.path, rules)
    done = fix(package.path, rules)
    assert done and check(package.path, rules, values=True) == []
    assert sha256_file(package.weights) == weights
    assert fix(package.path, rules) == []  # nothing is left to mend


def test_all_at_once(package: Any, rules: Rules) -> None:
    for break_it in list(FIXES.values())[1:]:
        break_it(package)
    rename_all(package)
    fix(package.path, rules)
    assert check(package.path, rules) == []


def test_a_misspelled_manifest_is_found_again(package: Any, rules: Rules) -> None:
    rename_all(package)
    (package.path / "edgelm.json").rename(package.path / "EdgeLM.json")
    fix(package.path, rules)
    assert check(package.path, rules) == []


def test_a_clean_package_is_not_touched(package: Any, rules: Rules) -> None:
    before = {name: (package.path / name).stat().st_mtime_ns for name in tree_files(package.path)}
    assert fix(package.path, rules) == []
    assert {name: (package.path / name).stat().st_mtime_ns for name in tree_files(package.path)} == before


def test_a_file_that_was_changed_after_packing_stays_found(package: Any, rules: Rules) -> None:
    card = json.loads((package.path / CARD).read_text())
    (package.path / CARD).write_text(json.dumps(card | {"parameters": 5, "licence": "mine"}))  # not listed so
    fix(package.path, rules)
    assert codes(package.path, rules) == {"PKG-05"}


def test_a_report_of_another_checkpoint_stays_one(package: Any, rules: Rules) -> None:
    FIXES["DTY-04"](package)
    package.edit("models/base/report/report.json", checkpoint="0" * 64)
    package.relist()
    fix(package.path, rules)
    assert codes(package.path, rules) == {"RPT-01"}


def test_two_spellings_of_one_file_are_left_to_people(package: Any, rules: Rules) -> None:
    package.write("source/readme.md", "another")
    fix(package.path, rules)
    assert {"source/README.md", "source/readme.md"} <= set(tree_files(package.path))


SEMICOLONS = "Model;CommonsenseQA;GSM8K;CHID;Throughput;Memory-Usage\nbase;50,00;75,00;25,00;1151,72;405,02\n"


def test_a_part_of_the_canonical_header_states_its_units(package: Any, rules: Rules) -> None:
    package.write("results.csv", SEMICOLONS)
    assert fix(package.path, rules) == ["results.csv is in the canonical form"]
    assert (package.path / "results.csv").read_text().splitlines()[1] == "base,50.00,,75.00,,,25.00,,1151.72,405.02"


@pytest.mark.parametrize(("old", "new", "left"), [
    ("Throughput", "Speed", "line 2, Speed: 1151,72"),  # tokens/s or inferences/s
    ("Memory-Usage", "Memory", "line 2, Memory: 405,02"),  # read as KiB, which hold this small checkpoint
    ("1151,72", "9 inf/s", "line 2, Throughput: 9 inf/s"), ("75,00", "about 5", "line 2, GSM8K: about 5"),
    ("75,00", "NaN", "line 2, GSM8K: NaN is no number"), ("25,00", "-1", "line 2, CHID: -1"),
    ("\nbase", "\nother;1;2;3;4 tokens/s;5 MiB\nbase", "line 2, GSM8K: 2"), ("CHID", "TruthfulQA", "TruthfulQA: 0,25"),
    ("\nbase", "\nbase;1;2;3;4;5;6;7\nbase", "line 2: base | 1 | 2"),
])  # fmt: skip
def test_what_only_the_team_can_say_is_neither_lost_nor_converted(
    package: Any, rules: Rules, old: str, new: str, left: str
) -> None:
    text = SEMICOLONS.replace(old, new).replace("25,00", "0,25" if new == "TruthfulQA" else "25,00")
    package.write("results.csv", text)
    (said,) = fix(package.path, rules)
    assert said.startswith("results.csv stays as it is") and left in said
    assert (package.path / "results.csv").read_text() == text


def test_a_unit_that_the_report_tells_is_no_question(package: Any, rules: Rules) -> None:
    package.add_task("truthfulqa", protocol="miniature-1/truthfulqa-0123abcd")
    package.write("results.csv", "Model;gsm8k_gen;TruthfulQA;Speed;Memory\nbase;75;0,75;128;300\n")
    assert fix(package.path, rules) == ["results.csv is in the canonical form"]
    assert (package.path / "results.csv").read_text().splitlines()[1] == "base,,,75,,,,75,128,300"


def test_there_must_be_something_to_mend(tmp_path: Path, rules: Rules) -> None:
    with pytest.raises(MissingInput, match="there is no submission"):
        fix(tmp_path / "absent", rules)
    assert fix(tmp_path, rules) == []  # an empty folder, which the check says


def test_what_is_not_mended(package: Any, tmp_path: Path, rules: Rules) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(BadOption, match="unpack it"):
        fix(tmp_path / "a.zip", rules)
    (package.path / "source/link").symlink_to("/etc/passwd")
    with pytest.raises(BadFile, match="source/link"):
        fix(package.path, rules)
    assert (package.path / "source/link").is_symlink()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command line in this process: its exit code."""

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["edgelm", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    return call


PACKED = {  # what packing again clears: each break is of the package, not of what it is made from
    "PKG-04": lambda p: (p.path / "edgelm.json").write_text("{"),
    "PKG-05": lambda p: (p.path / "source/README.md").write_text("other"),
    "PKG-06": lambda p: (p.path / "source/more.py").write_text("pass"),
    "PKG-09": lambda p: p.write("results.csv", ""),
    "SUB-06": lambda p: p.edit("edgelm.json", rules="0" * 64),
    "CLM-01": lambda p: p.remove("results.csv"),
    "CLM-10": lambda p: p.rewrite("results.csv", "75.00", "75.1"),
    "PKG-02": lambda p: (p.path / "source/link").symlink_to("/etc/passwd"),
    "BND-01": lambda p: p.remove("models/base/bundle"),
    "RPT-04": lambda p: p.edit_answers(lambda rows: [rows[0], rows[0], rows[0], rows[1]]),
    "CKP-09": lambda p: p.edit_config(trust_remote_code=True),
}


@pytest.mark.parametrize("code", PACKED)
def test_packing_again_clears_it(
    clean: Path, package: Any, tmp_path: Path, rules: Rules, run: Callable[..., int], code: str
) -> None:
    PACKED[code](package)
    assert code in codes(package.path, rules)
    parts, out = clean.parent, tmp_path / "again"
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for path in (clean / "models/base/checkpoint").iterdir():
        os.link(path, checkpoint / path.name)
    (checkpoint / "card.json").write_bytes((clean / CARD).read_bytes())
    end = run("pack", f"base={checkpoint},{parts / 'report'},{parts / 'bundle'}", "--team", "red", "--rules",
              "miniature", "--source", parts / "source", "-o", out)  # fmt: skip
    assert end == 0
    assert codes(out, rules) <= {"BND-03"}  # the proof is made by hand


def test_casting_clears_bf16(package: Any, tmp_path: Path, rules: Rules, run: Callable[..., int]) -> None:
    def to_bf16(tensors: dict[str, Any]) -> None:
        tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})

    package.edit_tensors(to_bf16)
    package.edit_config(dtype="bfloat16")
    assert "DTY-01" in codes(package.path, rules)
    out = tmp_path / "cast"
    assert run("compress", package.model / "checkpoint", "cast:dtype=float16", "-o", out) == 0
    for path in out.iterdir():
        if path.name != "card.json":
            (package.model / "checkpoint" / path.name).write_bytes(path.read_bytes())
    package.refit()
    assert "DTY-01" not in codes(package.path, rules)


def test_the_command_of_the_mend_is_the_one_that_is_run(
    package: Any, rules: Rules, run: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    FIXES["CKP-06"](package)
    assert run("check", package.path, "--rules", "miniature", "--fix") == 0
    said = capfd.readouterr().err
    assert "parameters is now" in said and "no findings" in said


def test_rules_that_a_package_was_not_made_for_are_named_with_those_it_was(
    package: Any, rules: Rules, run: Callable[..., int]
) -> None:
    asked = Neurips2024(places=5)
    (found,) = (one for one in check(package.path, asked) if one.code == "SUB-06")
    assert found.what == (f"packed under rules miniature ({rules.digest[:12]}…), held against neurips-2024 "
                          f"({asked.digest[:12]}…)")  # fmt: skip
    meant, again = re.findall(r"edgelm (\w+) \S+ (--rules \S+)", found.mend.replace(";", ""))
    assert again == ("pack", "--rules neurips-2024:places=5")
    assert meant[0] == "check" and run("check", package.path, *meant[1].split()) == 0
    assert [one.code for one in check(package.path, asked)] == ["SUB-06"]  # nothing of what these rules would ask for
    package.edit_card(data=[{"name": "pile"}])
    assert [one.code for one in check(package.path, asked)] == ["DAT-01", "SUB-06"]
    package.edit("edgelm.json", rules="0" * 64)
    (found,) = (one for one in check(package.path, rules) if one.code == "SUB-06")
    assert "rules unknown here (000000000000…)" in found.what
    assert found.mend == "pack again: edgelm pack … --rules miniature"


def test_every_command_among_the_mends_is_run_here() -> None:
    """`edgelm VERB` in a mend; those that train, evaluate or deploy are run by their own tests."""
    verbs = {verb for known in CODES.values() for verb in re.findall(r"edgelm (\w+)", known.mend)}
    assert verbs <= {"check", "pack", "compress", "evaluate", "deploy", "results"}
    fixed = {code for code, known in CODES.items() if "--fix" in known.mend}
    assert fixed <= FIXES.keys()
