"""The results file of a package: one break for each code, and what the package knows beside the file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.run import check
from edgelm.rules import Rules
from edgelm.rules.neurips_2024 import Neurips2024

HEADER = "Model,CommonsenseQA,BIG-Bench-Hard,GSM8K,LongBench,HumanEval,CHID,TruthfulQA,Throughput,Memory-Usage"


def row(**cells: str) -> str:
    """The canonical file with one row; every other cell is as in the clean package."""
    known = {"Model": "base", "CommonsenseQA": "50.00", "GSM8K": "75.00", "CHID": "25.00", "Throughput": "128.00",
             "Memory-Usage": "300.00"} | cells  # fmt: skip
    return f"{HEADER}\n{','.join(known.get(column, '') for column in HEADER.split(','))}\n"


def kit(text: str) -> str:
    """A file in the kit's form: no column of models, and so no stated units."""
    return "".join(line.partition(",")[2] + "\n" for line in text.splitlines())


BREAKS: list[tuple[str, str | bytes | None, str]] = [  # code, contents, and what the finding says
    ("CLM-01", None, "there is no such file"), ("CLM-01", "Model,GSM8K\n", "no row of figures"),
    ("CLM-01", b"PK\x03\x04" + bytes(40), "Excel"), ("CLM-01", "<html>", "web page"),
    ("CLM-02", row().replace("GSM8K", "gsm8k_gen"), "“gsm8k_gen” is read as GSM8K"),
    ("CLM-02", row().replace("HumanEval", "crowspairs_gen"), "“crowspairs_gen”: no task"),
    ("CLM-03", row(GSM8K="75.00%"), "75.00% is read as 75 %"),
    ("CLM-03", row(Throughput="9 inf/s"), "cannot be compared"),
    ("CLM-04", row(TruthfulQA="0.28"), "0.28 is read as 28 %"),
    ("CLM-05", row().replace("GSM8K", "Sums"), "no column GSM8K"),
    ("CLM-06", re.sub(r"\d+\.00", "0", row()), "line 2: every value is zero"),
    ("CLM-07", row() + "other" + "," * 9 + "\n", "“other” is none of base"),
    ("CLM-07", row(Model="Base"), "“Base” is taken for base"), ("CLM-08", row(GSM8K="NaN"), "line 2, GSM8K: NaN"),
    ("CLM-08", row(GSM8K="100.01"), "above 100 %"), ("CLM-08", row(GSM8K="-1"), "negative"),
    ("CLM-10", row(GSM8K="75.1"), "base, GSM8K: 75.1% here, 75.0000 in report.json"),
    ("CLM-10", row(Throughput="129"), "base, Throughput: 129 tokens/s here, 128.0000 in report.json"),
    ("CLM-10", row(**{"Memory-Usage": "299"}), "299 MiB here"),
    ("CLM-11", kit(row(Throughput="127.00")), "127.00 is kept as text"),
    ("CLM-12", kit(row(**{"Memory-Usage": "0.0000001"})), "in no unit"),
    ("CLM-13", b"\xef\xbb\xbf" + row().encode(), "byte order mark"), ("CLM-13", row().replace(",", ";"), "semicolons"),
    ("CLM-13", row().rstrip("\n"), "newline"),
]  # fmt: skip


def put(package: Any, contents: str | bytes | None, name: str = "results.csv") -> None:
    (package.path / "results.csv").unlink()
    if contents is not None:
        (package.path / name).write_bytes(contents.encode() if isinstance(contents, str) else contents)
    package.relist()


def test_the_row_here_is_the_clean_packages(package: Any, rules: Rules) -> None:
    put(package, row())
    assert check(package.path, rules) == []


@pytest.mark.parametrize(("code", "contents", "what"), BREAKS)
def test_each_break_is_found_under_its_code(
    package: Any, rules: Rules, code: str, contents: str | bytes | None, what: str
) -> None:
    put(package, contents)
    findings = [found for found in check(package.path, rules) if found.code == code]
    assert any(what in found.what and found.path == "results.csv" for found in findings), findings
    assert not any(str(package.path) in found.what for found in findings)


def test_scores_that_no_number_of_answers_gives(package: Any, rules: Rules) -> None:
    put(package, row(GSM8K="40.24", HumanEval="63.31", CommonsenseQA="", CHID=""))
    assert "CLM-09" not in {found.code for found in check(package.path, rules)}  # the miniature suite has other rows
    package.edit("edgelm.json", rules=Neurips2024().digest)
    (one, other) = [found for found in check(package.path, Neurips2024()) if found.code == "CLM-09"]
    assert "exchanged with HumanEval?" in one.what and "exchanged with GSM8K?" in other.what


@pytest.mark.parametrize("name", ["Results.csv", "RESULTS.CSV"])
def test_a_file_of_another_spelling_is_read_all_the_same(package: Any, rules: Rules, name: str) -> None:
    put(package, row(GSM8K="75.1"), name)
    assert {found.code for found in check(package.path, rules)} == {"PKG-08", "CLM-10"}


def test_an_empty_file_is_said_once(package: Any, rules: Rules) -> None:
    put(package, "")
    assert [found.code for found in check(package.path, rules)] == ["PKG-09"]


def test_memory_is_read_by_the_size_of_the_checkpoint(package: Any, rules: Rules) -> None:
    put(package, kit(row()).replace("128.00", "128.00 tokens/s"))
    codes = {found.code for found in check(package.path, rules)}
    assert not codes & {"CLM-10", "CLM-12"}  # 300 is read as MiB, and agrees with the report


def test_truthfulqa_agrees_with_the_report_as_a_fraction_and_in_percent(package: Any, rules: Rules) -> None:
    package.add_task("truthfulqa", protocol="miniature-1/truthfulqa-0123abcd")
    for cell, codes in (("75.00", set()), ("0.75", {"CLM-04"}), ("0.70", {"CLM-04", "CLM-10"})):
        put(package, row(TruthfulQA=cell))
        assert {found.code for found in check(package.path, rules)} - {"RPT-05"} == codes


def test_zeros_that_the_report_has_are_no_template(package: Any, rules: Rules) -> None:
    package.edit("models/base/report/report.json", speed=None, memory={})
    package.edit_task(score="0")
    zero = {"GSM8K": "0.00", "CommonsenseQA": "", "CHID": "", "Throughput": "", "Memory-Usage": ""}
    for more, is_said in ({}, False), ({"HumanEval": "0"}, True):
        put(package, row(**zero | more))
        assert ("CLM-06" in {found.code for found in check(package.path, rules)}) is is_said


def test_a_file_that_pack_writes_without_figures_is_no_template(package: Any, rules: Rules) -> None:
    put(package, f"{HEADER}\nbase{',' * 9}\n")
    assert check(package.path, rules) == []


def test_where_no_model_is_brought_no_row_is_due(package: Any, rules: Rules) -> None:
    package.edit("edgelm.json", models={"base": {"omitted": "no time"}})
    put(package, f"{HEADER}\n")
    assert {found.code for found in check(package.path, rules)} == {"MDL-02"}


def test_a_number_without_a_unit_is_what_the_report_has(package: Any, rules: Rules) -> None:
    for memory, cell in ((300 << 20, "300.00"), (300 << 10, "0.29"), (3 << 30, "3.00")):
        package.edit("models/base/report/report.json", memory={"host-peak": memory})
        put(package, kit(row(**{"Memory-Usage": cell})))
        assert {found.code for found in check(package.path, rules)} == set(), cell
    package.edit("models/base/report/report.json", memory={"host-peak": 400 << 20})
    put(package, kit(row(**{"Memory-Usage": "0.4"})))  # in GB and in GiB alike
    assert {found.code for found in check(package.path, rules)} == {"CLM-10"}


def damage(name: str) -> Callable[[Any], None]:
    def change(package: Any) -> None:
        (package.model / name).write_text("{")

    return change


@pytest.mark.parametrize("name", ["report/report.json", "checkpoint/config.json", "checkpoint/model.safetensors"])
def test_what_else_is_damaged_does_not_keep_the_file_from_being_read(package: Any, rules: Rules, name: str) -> None:
    put(package, row(GSM8K="NaN"))
    (package.model / name).write_text("{")
    package.relist()
    assert "CLM-08" in {found.code for found in check(package.path, rules)}


REPAIRED = [contents for code, contents, _ in BREAKS if code in ("CLM-02", "CLM-03", "CLM-13") and contents]


@pytest.mark.parametrize("contents", REPAIRED)
def test_the_mend_that_is_a_command_clears_its_finding(package: Any, rules: Rules, contents: str | bytes) -> None:
    put(package, contents)
    target = package.path / "results.csv"
    new = target.with_name("new.csv")
    command = [sys.executable, "-m", "edgelm", "results", "--read", target, "-o", new, "--rules", "miniature"]
    subprocess.run(command, check=True, capture_output=True)
    new.replace(target)
    package.relist()
    assert not {"CLM-02", "CLM-03", "CLM-13"} & {found.code for found in check(package.path, rules)}
    assert Path(target).read_text().startswith(HEADER)
