"""The canonical file: from reports only what counts, from claims only what was claimed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from edgelm.report import Report, Speed, TaskScore, Workload
from edgelm.results.canonical import proposal, results_file
from edgelm.results.held import expected
from edgelm.results.read import read
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.submission import HEADER

RULES = Neurips2024()


def score(task: str, value: Fraction, **changes: object) -> TaskScore:
    made = TaskScore(protocol=f"opencompass-0.3.1/{task}", score=value, samples=3, of=3, prompting="chat", engine={})
    return made.model_copy(update=changes)


def report(**tasks: TaskScore) -> Report:
    speed = Speed(workload=Workload(prompt_tokens=1500, generated_tokens=500), device="local", repeats_ns=[3 * 10**9],
                  first_token_ns=[1], prefill=1, decode=1, spread=0)  # fmt: skip
    return Report(checkpoint="0" * 64, name="m", parameters=1, bytes=2, dtypes={"F16": 1}, tasks=tasks, speed=speed,
                  memory={"host-peak": 5 << 30, "other": 1})  # fmt: skip


def test_a_row_a_model_in_percent_tokens_a_second_and_mebibytes():
    made = report(
        gsm8k=score("gsm8k-1d7fe4", Fraction(200, 3)), truthfulqa=score("truthfulqa-5ddc62", Fraction(2803, 100))
    )
    assert results_file({"phi-2": made, "qwen-7b": None}, RULES) == (
        ",".join(HEADER) + "\nphi-2,,,66.67,,,,28.03,666.67,5120.00\nqwen-7b,,,,,,,,,\n")  # fmt: skip


def test_what_is_partial_or_of_another_protocol_was_not_tested():
    made = report(
        gsm8k=score("gsm8k-1d7fe4", Fraction(50), of=4), chid=score("chid", Fraction(5), protocol="mine/chid-0")
    )
    made = made.model_copy(update={"speed": None})
    assert results_file({"m": made}, replace(RULES, memory_meter="gpu")).splitlines()[1] == "m,,,,,,,,,"


def test_what_is_written_is_read_again_without_a_word():
    made = report(gsm8k=score("gsm8k-1d7fe4", Fraction(100 * 7, 1319)), truthfulqa=score("t", Fraction(100, 817)))
    reports = dict.fromkeys(RULES.tracks[0].slots, made)
    text = results_file(reports, RULES)
    claims = read(text.encode(), "results.csv", expected(RULES, reports, reports=reports))
    assert claims.notes == () and proposal(claims) == text
    assert claims.values["phi-2"]["TruthfulQA"].value == Fraction("0.12")  # the report says that percent is meant


def test_a_proposal_keeps_the_claimed_decimals_and_leaves_out_what_is_not_understood():
    held = expected(RULES, RULES.tracks[0].slots)
    text = "Model,GSM8K,CHID,TruthfulQA,Memory,Throughput\nqwen-7b,1.970,2,0.2803,8 GB,31 inf/s\n"
    assert proposal(read(text.encode(), "x.csv", held)).splitlines()[1:] == [
        "phi-2,,,,,,,,,", "llama-3-8b,,,,,,,,,", "qwen-7b,,,1.970,,,2,28.03,,7629"]  # fmt: skip
