"""Published scores stand beside scores of the same protocol and prompting alone."""

from edgelm.evaluate.references import beside


def test_a_score_stands_beside_models_that_were_asked_the_same_way(make_answers, make_score):
    score = make_score(make_answers([1]))
    assert beside("gsm8k", score) == {"Llama-3.1-8B-Instruct": 84.38, "Qwen2-7B-Instruct": 81.12}
    base = score.model_copy(update={"prompting": "base"})
    assert beside("gsm8k", base) == {"phi-2": 62.40, "Meta-Llama-3-8B": 55.80}


def test_other_rows_and_unpublished_tasks_stand_alone(make_answers, make_score):
    score = make_score(make_answers([1]))
    assert beside("gsm8k", score.model_copy(update={"protocol": "miniature-1/gsm8k-0a1b2c3d"})) == {}
    assert beside("longbench", score) == {}


def test_published_scores_are_counts_of_the_official_rows(make_answers, make_score):
    """The kit's figures are k of n rows to two decimals, which shows that they belong to these tasks."""
    score = make_score(make_answers([1]))
    for task, rows in (("commonsenseqa", 1221), ("chid", 2002), ("humaneval", 164), ("gsm8k", 1319)):
        for value in beside(task, score).values():
            assert round(100 * round(value * rows / 100) / rows, 2) == value
