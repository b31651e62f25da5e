"""The kit's table: complete official scores in its columns, and nothing that was not measured."""

from fractions import Fraction

from edgelm.evaluate.results import results_csv
from edgelm.report import Speed, Workload

HEADER = "CommonsenseQA,BIG-Bench-Hard,GSM8K,LongBench,HumanEval,CHID,TruthfulQA,Throughput,Memory-Usage\n"


def test_the_header_is_the_kits_and_what_is_missing_stays_empty(make_report):
    assert results_csv(make_report({})) == HEADER + ",,,,,,,,\n"


def test_scores_speed_and_memory_have_two_decimals_and_truthfulqa_is_a_fraction(make_answers, make_score, make_report):
    third = make_score(make_answers([1, 0, 0]))
    speed = Speed(workload=Workload(prompt_tokens=1500, generated_tokens=500), device="cpu", repeats_ns=[4 * 10**9],
                  first_token_ns=[1], prefill=1, decode=1, spread=0)  # fmt: skip
    truth = third.model_copy(update={"figures": {"bleu_acc": Fraction(2803, 10000)}})
    report = make_report({"gsm8k": third, "chid": third, "truthfulqa": truth}, speed=speed,
                         memory={"host-pss": 3 * 2**20, "host-peak": 7 * 2**19})  # fmt: skip
    assert results_csv(report) == HEADER + ",,33.33,,,33.33,0.2803,500.00,3.50\n"


def test_neither_parts_nor_other_rows_nor_other_scorers_count(make_answers, make_score, make_report):
    score = make_score(make_answers([1, 0]))
    report = make_report({
        "gsm8k": score.model_copy(update={"of": 3}), "gsm8k-fixed": score, "chid-dev": score,
        "chid": score.model_copy(update={"protocol": "miniature-1/chid-0a1b2c3d"}),
    })  # fmt: skip
    assert results_csv(report) == HEADER + ",,,,,,,,\n"
