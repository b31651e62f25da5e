"""The summary is OpenCompass's, row for row."""

from fractions import Fraction
from pathlib import Path

import pytest

from edgelm.evaluate.opencompass_names import BBH, DATA_SETS, LONGBENCH, LONGBENCH_CATEGORIES, METRICS, PARTS
from edgelm.evaluate.summary import summary_csv
from edgelm.report import SubsetScore

ORIGINAL = Path(__file__).with_name("opencompass_summary.csv")  # written by OpenCompass 0.3.1 over all its data sets


def _rows(report):
    lines = summary_csv(report).split("\n")
    assert lines.pop() == ""  # ends in a newline
    assert lines[0] == "dataset,version,metric,mode,tiny_hf"
    return lines[1:]


@pytest.fixture
def score(make_answers, make_score):
    return make_score(make_answers([1, 0, 0]))


def test_single_tasks_are_in_opencompass_order_with_its_names(score, make_report):
    report = make_report(dict.fromkeys(("gsm8k", "commonsenseqa", "humaneval", "chid", "chid-dev"), score))
    assert _rows(report) == [
        "commonsense_qa,734a22,accuracy,gen,33.33", "chid-dev,211ee7,accuracy,gen,33.33",
        "chid-test,211ee7,accuracy,gen,33.33", "openai_humaneval,8e312c,humaneval_pass@1,gen,33.33",
        "gsm8k,1d7fe4,accuracy,gen,33.33",
    ]  # fmt: skip


def test_the_summary_of_opencompass_itself_comes_out_again(score, make_report):
    """Its scores, as far as its two decimals tell them, are put into a report; groups are then its own arithmetic."""
    lines = [line.split(",") for line in ORIGINAL.read_text().splitlines()]
    values = {(name, metric): Fraction(value) for name, _, metric, _, value in lines[1:]}
    tasks = {}
    for task, (name, _) in DATA_SETS.items():
        if task in PARTS:
            parts = {part: SubsetScore(score=values[name + part, "score"], samples=1) for part in PARTS[task]}
            tasks[task] = score.model_copy(update={"subsets": parts})
        elif task == "truthfulqa":
            tasks[task] = score.model_copy(update={"figures": {each: values[name, each] for each in METRICS[task]}})
        else:
            tasks[task] = score.model_copy(update={"score": values[name, METRICS[task][0]]})
    ours = [line.split(",") for line in summary_csv(make_report(tasks, name="mute")).splitlines()]
    assert [line[:4] for line in ours] == [line[:4] for line in lines] and ours[0] == lines[0]
    for own, theirs in zip(ours[1:], lines[1:], strict=True):
        off = 0.011 if theirs[2] == "naive_average" else 0
        assert float(own[4]) == pytest.approx(float(theirs[4]), abs=off), own


def test_truthfulqa_has_three_rows_of_fractions(score, make_report):
    figures = {"bleu_max": Fraction(1234, 10000), "bleu_diff": Fraction(-51, 10000), "bleu_acc": Fraction(28, 100)}
    assert _rows(make_report({"truthfulqa": score.model_copy(update={"figures": figures})})) == [
        "truthful_qa,5ddc62,bleu_max,gen,0.12", "truthful_qa,5ddc62,bleu_diff,gen,-0.01",
        "truthful_qa,5ddc62,bleu_acc,gen,0.28",
    ]  # fmt: skip


def test_a_partial_task_is_missing(score, make_report):
    assert _rows(make_report({"gsm8k": score.model_copy(update={"of": 9})})) == ["gsm8k,-,-,-,-"]


def _with_parts(score, names):
    parts = {name: SubsetScore(score=Fraction(n), samples=1) for n, name in enumerate(names)}
    return score.model_copy(update={"subsets": parts})


def test_bbh_is_27_rows_and_the_group_is_their_mean(score, make_report):
    rows = _rows(make_report({"bbh": _with_parts(score, BBH)}))
    assert rows[0] == "bbh-temporal_sequences,e43931,score,gen,0.00"
    assert rows[26] == "bbh-web_of_lies,0c0441,score,gen,26.00"
    assert rows[27:] == ["bbh,-,naive_average,gen,13.00"]


def test_longbench_is_the_mean_of_its_categories(score, make_report):
    rows = _rows(make_report({"longbench": _with_parts(score, LONGBENCH)}))
    assert len(rows) == 21 + 9 and rows[0] == "LongBench_2wikimqa,6b3efc,score,gen,0.00"
    number = {name: n for n, name in enumerate(LONGBENCH)}
    means = [sum(number[name] for name in names) / len(names) for names in LONGBENCH_CATEGORIES.values()]
    assert rows[21] == f"longbench_single-document-qa,-,naive_average,gen,{means[0]:.2f}"
    assert [row.split(",")[0] for row in rows[-3:]] == ["longbench_zh", "longbench_en", "longbench"]
    assert rows[-1] == f"longbench,-,naive_average,gen,{sum(means) / 6:.2f}"


def test_a_group_with_a_missing_part_is_left_out(score, make_report):
    rows = _rows(make_report({"bbh": _with_parts(score, list(BBH)[1:])}))
    assert rows[0] == "bbh-temporal_sequences,-,-,-,-" and len(rows) == 27


def test_other_rows_stand_at_the_end_under_their_suites_name(score, make_report):
    other = score.model_copy(update={"protocol": "miniature-1/gsm8k-0a1b2c3d"})
    fixed = score.model_copy(update={"protocol": "opencompass-0.3.1/gsm8k-1d7fe4+fixed-1"})
    assert _rows(make_report({"gsm8k": other, "gsm8k-fixed": fixed, "chid": score})) == [
        "chid-test,211ee7,accuracy,gen,33.33", "miniature-1/gsm8k,gsm8k-0a1b2c3d,score,gen,33.33",
        "opencompass-0.3.1/gsm8k-fixed,gsm8k-1d7fe4+fixed-1,score,gen,33.33",
    ]  # fmt: skip
