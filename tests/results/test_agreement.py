"""Claims beside reports and beside other files: rounding is no difference."""

from __future__ import annotations

from fractions import Fraction

import pytest

from edgelm.report import Report, Speed, TaskScore, Workload
from edgelm.results.agreement import between, figures_of


def report(score: Fraction, peak: int = 1 << 30) -> Report:
    task = TaskScore(
        protocol="opencompass-0.3.1/gsm8k-1d7fe4", score=score, samples=3, of=3, prompting="chat", engine={}
    )
    truth = task.model_copy(update={"figures": {"bleu_acc": score / 100}})
    speed = Speed(workload=Workload(prompt_tokens=1500, generated_tokens=500), device="local", repeats_ns=[4 * 10**9],
                  first_token_ns=[1], prefill=1, decode=1, spread=0)  # fmt: skip
    return Report(checkpoint="0" * 64, name="m", parameters=1, bytes=2, dtypes={"F16": 1}, speed=speed,
                  tasks={"gsm8k": task, "truthfulqa": truth, "mmlu": task}, memory={"host-peak": peak})  # fmt: skip


def differences(claims):
    return [note.what for note in claims.notes if note.code == "CLM-10"]


def test_a_reports_figures_are_in_the_units_of_the_canonical_form():
    assert figures_of(report(Fraction(200, 3)), "host-peak") == {
        "GSM8K": Fraction(200, 3), "TruthfulQA": Fraction(200, 3), "Throughput": 500, "Memory-Usage": 1024}  # fmt: skip
    assert "Memory-Usage" not in figures_of(report(Fraction(1)), "another")


@pytest.mark.parametrize(
    ("cell", "agrees"), [("66.67", True), ("66.7", True), ("67", True), ("66.66", False), ("60", False), ("", True)]
)
def test_half_a_unit_of_the_last_decimal_is_rounding(says, cell, agrees):
    claims = says(f"Model,GSM8K\nphi-2,{cell}\n", reports={"phi-2": report(Fraction(200, 3))})
    assert (differences(claims) == []) is agrees
    assert agrees or differences(claims) == [f"phi-2, GSM8K: {cell}% here, 66.6667 in report.json"]


@pytest.mark.parametrize(("cell", "agrees"), [("0.67", True), ("0.66", False), ("66.67", True), ("0.6667", True)])
def test_truthfulqa_agrees_as_a_fraction_and_in_percent(says, cell, agrees):
    claims = says(f"Model,TruthfulQA\nphi-2,{cell}\n", reports={"phi-2": report(Fraction(200, 3))})
    assert (differences(claims) == []) is agrees


def test_units_are_reduced_before_they_are_compared(says):
    reports = {"phi-2": report(Fraction(1), peak=8_755_000_000)}
    assert not differences(says("Model,Memory\nphi-2,8.755 GB\n", reports=reports))
    assert differences(says("Model,Memory\nphi-2,8.755 GiB\n", reports=reports))
    assert not differences(says("Model,Throughput\nphi-2,1 inf/s\n", reports=reports))  # cannot be compared


def test_one_row_for_all_is_held_against_the_mean_if_every_report_is_there(says):
    reports = {"phi-2": report(Fraction(10)), "llama-3-8b": report(Fraction(20)), "qwen-7b": report(Fraction(60))}
    assert not differences(says("GSM8K\n30.00\n", reports=reports))
    assert differences(says("GSM8K\n20.00\n", reports=reports))
    del reports["qwen-7b"]
    assert not differences(says("GSM8K\n20.00\n", reports=reports))


def test_a_file_and_the_readme_beside_it(says, files):
    text = files["with-units"][2]
    lines = text.splitlines()
    rows = "\n".join(f"|{line.replace(',', '|')}|" for line in lines[1:]).replace("22.11", "22.36")
    readme = f"|{lines[0].replace(',', '|')}|\n|{'-|' * 9}\n{rows}\n"
    (note,) = between(says(text, "Results.csv"), says(readme, "README.md"))
    assert note.code == "CLM-10"
    assert note.what == "llama-3-8b, CommonsenseQA: 22.11% in Results.csv, 22.36% in README.md"
    assert not list(between(says(text), says(text)))


def test_files_that_round_differently_agree(says):
    one, other = says("Model,GSM8K\nphi-2,1.97\n"), says("Model,GSM8K\nphi-2,2.0\n")
    assert not list(between(one, other)) and not list(between(other, one))
