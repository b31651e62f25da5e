"""The verb: a file from reports, any other file read, compared and rewritten; exit codes."""

from __future__ import annotations

import functools
import json
from fractions import Fraction

import pytest

from edgelm.report import Report, TaskScore

HEADER = "Model,CommonsenseQA,BIG-Bench-Hard,GSM8K,LongBench,HumanEval,CHID,TruthfulQA,Throughput,Memory-Usage"


@pytest.fixture
def run(edgelm, monkeypatch, tmp_path):
    """`run("--read", …)`: `edgelm results`, where names lie below tmp_path."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(edgelm, "results")


@pytest.fixture
def report(tmp_path):
    """`report("phi", gsm8k=…)`: a folder with a report of that name below tmp_path."""

    def make(name, model="m", digest="0", **tasks):
        made = TaskScore(protocol="", score=Fraction(0), samples=3, of=3, prompting="chat", engine={})
        scores = {
            task: made.model_copy(update={"protocol": f"opencompass-0.3.1/{task}-1", "score": value})
            for task, value in tasks.items()
        }
        Report(checkpoint=digest * 64, name=model, parameters=1, bytes=2, dtypes={"F16": 1}, tasks=scores,
               memory={"host-peak": 5 << 30}).save(tmp_path / name)  # fmt: skip
        return name

    return make


def test_a_file_from_reports_in_the_order_of_the_track(run, report, tmp_path):
    report("one", gsm8k=Fraction(200, 3)), report("two", digest="1", chid=Fraction(5)), report("more", bbh=Fraction(50))
    code, out, err = run("qwen-7b=two", "phi-2=one", "phi-2=more", "-o", "out/results.csv")
    assert (code, out) == (0, "") and "out/results.csv" in err
    assert (tmp_path / "out/results.csv").read_text() == (
        f"{HEADER}\nphi-2,,50.00,66.67,,,,,,5120.00\nqwen-7b,,,,,,5.00,,,5120.00\n")  # fmt: skip


def test_a_slot_may_be_left_out_where_the_models_name_tells_it(run, report):
    assert run(report("a", model="Qwen2-7B-Instruct-slim", gsm8k=Fraction(1)))[1].splitlines()[1].startswith("qwen-7b,")
    assert (
        run(report("b", model="nano", gsm8k=Fraction(1)), "--track", "from-scratch")[1]
        .splitlines()[1]
        .startswith("model,")
    )
    code, _, err = run(report("c", model="nano"))
    assert code == 2 and "SLOT=c" in err


def test_reports_of_two_checkpoints_are_not_joined(run, report):
    report("one"), report("two", digest="1")
    code, _, err = run("phi-2=one", "phi-2=two")
    assert code == 2 and "two checkpoints" in err


@pytest.mark.parametrize("words", [
    [], ["nothing=here"], ["phi-2=absent"], ["--read", "absent.csv"], ["--checkpoint", "x"], ["--track", "swimming"],
    ["--read", "a.csv", "--checkpoint", "x"],
])  # fmt: skip
def test_what_cannot_be_done_is_said_with_code_2(run, tmp_path, words):
    (tmp_path / "a.csv").write_text("GSM8K\n1\n")
    code, _, err = run(*words)
    assert code == 2 and err.startswith("error:") and "mend:" in err


def test_a_file_is_shown_with_units_origins_doubts_and_its_canonical_form(run, tmp_path):
    (tmp_path / "Results.csv").write_text("GSM8K,TruthfulQA,Throughput,Memory\n2.43,0.15,31,1.9\n")
    code, out, err = run("--read", "Results.csv", "--track", "from-scratch")
    assert code == 0 and "claim" in err
    for text in ("line 2, TruthfulQA", "a fraction", "GB, the smallest unit", "CLM-04", "CLM-11", "is read as 15 %"):
        assert text in out
    assert out.endswith(f"{HEADER}\nmodel,,,2.43,,,,15,,1812\n")


def test_the_canonical_form_is_a_new_file_and_has_no_finding(run, tmp_path):
    (tmp_path / "own.csv").write_text("Model;gsm8k\nmodel;2,43")
    words = ["--track", "from-scratch", "--rules", "neurips-2024:tasks=gsm8k"]
    assert run("--read", "own.csv", *words, "-o", "own.csv")[0] == 2
    assert (tmp_path / "own.csv").read_text() == "Model;gsm8k\nmodel;2,43"
    assert run("--read", "own.csv", *words, "-o", "results.csv")[0] == 0
    assert (tmp_path / "results.csv").read_text() == f"{HEADER}\nmodel,,,2.43,,,,,,\n"
    assert json.loads(run("--read", "results.csv", *words, "--json")[1])["findings"] == []


def test_an_error_of_the_file_is_exit_code_1(run, tmp_path):
    (tmp_path / "results.csv").write_text("Model,GSM8K\nphi-2,NaN\n")
    assert run("--read", "results.csv")[0] == 1
    (tmp_path / "results.csv").write_bytes(b"PK\x03\x04")
    code, out, _ = run("--read", "results.csv", "-o", "fixed.csv")
    assert code == 1 and "Excel" in out and not (tmp_path / "fixed.csv").exists()


def test_reports_and_other_files_are_held_against_the_first(run, report, tmp_path):
    (tmp_path / "Results.csv").write_text("Model,GSM8K\nphi-2,22.11\n")
    (tmp_path / "README.md").write_text("|Model|GSM8K|\n|-|-|\n|phi-2|22.36|\n")
    report("one", gsm8k=Fraction(30))
    code, out, _ = run("--read", "Results.csv", "--read", "README.md", "phi-2=one", "--json")
    found = json.loads(out)
    said = [one["what"] for one in found["findings"] if one["code"] == "CLM-10"]
    assert code == 0 and len(said) == 3
    assert any("22.11% in Results.csv, 22.36% in README.md" in what for what in said)
    assert found["read"][0]["figures"][0] == {
        "column": "GSM8K",
        "slot": "phi-2",
        "row": "phi-2",
        "value": "2211/100",
        "unit": "%",
        "cell": "line 2, GSM8K",
        "text": "22.11",
        "assumed": "",
    }


def test_memory_by_the_checkpoint(run, tmp_path, make_checkpoint):
    (tmp_path / "Results.csv").write_text("Memory\n2\n")
    folder = make_checkpoint("llama")
    words = ["--read", "Results.csv", "--track", "from-scratch", "--json"]
    (figure,) = json.loads(run(*words, "--checkpoint", folder)[1])["read"][0]["figures"]
    assert figure["value"] == "2" and figure["assumed"].startswith("MiB, the smallest unit that holds the checkpoint's")
    (figure,) = json.loads(run(*words)[1])["read"][0]["figures"]
    assert figure["assumed"].startswith("GB")
