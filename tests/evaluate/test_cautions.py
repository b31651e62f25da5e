"""What must be said beside a score is said, and nothing where all is well."""

from edgelm.evaluate.cautions import cautions
from edgelm.evaluate.effort import efforts


def test_a_complete_official_report_needs_no_caution(make_answers, make_score, make_report):
    answers = make_answers([1] * 9)
    assert cautions(make_report({"gsm8k": make_score(answers)}), efforts({"gsm8k": answers}, {}, context=200)) == []


def test_each_caution_names_its_tasks(make_answers, make_score, make_report):
    capped = make_answers([1] * 4, finish="length")
    long = make_answers([1], prompt_tokens=200)
    report = make_report({
        "gsm8k": make_score(capped, of=1319), "humaneval": make_score(long, conditions={"sandbox": "NONE"}),
        "chid": make_score(long, protocol="miniature-1/chid-0a1b2c3d"),
    })  # fmt: skip
    assert cautions(report, efforts({"gsm8k": capped, "humaneval": long}, {}, context=200)) == [
        "Only some rows were asked, so these are estimates and no results: GSM8K 4 of 1,319.",
        "Not of the official protocol, and not comparable with published scores: CHID.",
        "Programs were run without a sandbox: HumanEval.",
        "Answers that ran past the model’s context: HumanEval 1 of 1.",
        "Questions that filled the context and may have lost their beginning: HumanEval 1 of 1.",
        "Answers ended by the cap on tokens and not by the model: GSM8K 100%.",
    ]


def test_a_result_that_a_constant_answer_could_have_is_no_sign_of_skill(make_answers, make_score, make_report):
    answers = make_answers([1] * 23 + [0] * 77)
    tasks = ("commonsenseqa", "bbh", "gsm8k", "humaneval", "chid")
    report = make_report({task: make_score(answers, protocol=f"opencompass-0.3.1/{task}-1") for task in tasks})
    said = "No sign of skill, being at most two standard errors above the best constant answer"
    assert cautions(report, []) == [f"{said}: CommonsenseQA, BIG-Bench Hard."]
    parts = {"bbh": make_score(answers, protocol="opencompass-0.3.1/bbh-1", of=6511)}
    assert not any("skill" in text for text in cautions(make_report(parts), []))


def test_code_of_the_checkpoints_own_is_told(make_answers, make_score, make_report):
    answers = make_answers([1] * 9)
    report = make_report({"gsm8k": make_score(answers, engine={"engine": "hf", "code": True})})
    assert cautions(report, efforts({"gsm8k": answers}, {})) == ["Code that comes with the checkpoint was run: GSM8K."]
