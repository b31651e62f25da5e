from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgelm.plugins import parse
from edgelm.report import FULL_MARK, Answer
from edgelm.score.marks import Marks, Stratum, marks_of, stratum_weights


def answers(marks):
    return [
        Answer(key=f"{subset}{n}", sample=f"{subset}{n}", text="", mark=mark, tokens=1, prompt_tokens=1, finish="stop",
               subset=subset)
        for subset, own in marks.items() for n, mark in enumerate(own)
    ]  # fmt: skip


def test_rows_weigh_the_same_where_a_task_has_no_subsets():
    made = marks_of("gsm8k", "s/gsm8k-1", answers({None: [FULL_MARK, 0, 0, FULL_MARK]}), "d")
    assert made.score == 50
    assert made.strata == {"": Stratum(weight=1, marks=(FULL_MARK, 0, 0, FULL_MARK))}


def test_every_answer_has_a_mark():  # of the empty ones, too: rule R0.3
    with pytest.raises(ValueError, match="2 of them have no mark"):
        marks_of("truthfulqa", "s/truthfulqa-1", answers({None: [FULL_MARK, None, None]}), "d")


def test_subsets_of_bbh_weigh_the_same():
    sets = {"snarks": [FULL_MARK], "navigate": [0, 0, FULL_MARK, 0]}
    made = marks_of("bbh", "s/bbh-1", answers(sets), "d")
    assert {name: each.weight for name, each in made.strata.items()} == dict.fromkeys(sets, Fraction(1, 2))
    assert made.score == Fraction(125, 2)


def test_categories_of_longbench_weigh_the_same():
    sizes = {"narrativeqa": 3, "qasper": 1, "lcc": 2}  # two of one category, one of another
    assert stratum_weights("longbench", sizes) == {
        "narrativeqa": Fraction(1, 4), "qasper": Fraction(1, 4), "lcc": Fraction(1, 2),
    }  # fmt: skip


def test_a_task_that_is_not_known_here_is_the_mean_of_its_rows():
    assert stratum_weights("night-watch", {"a": 3, "b": 1}) == {"a": Fraction(3, 4), "b": Fraction(1, 4)}


own_marks = st.lists(st.integers(0, FULL_MARK), min_size=1, max_size=5)
by_subset = st.dictionaries(st.sampled_from("abcd"), own_marks, min_size=1)


@pytest.mark.parametrize("task", ["bbh", "gsm8k", "mmlu", "night-watch"])
@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, FULL_MARK), min_size=1, max_size=5), min_size=1)
)
def test_the_weighted_mean_is_the_tasks_own_aggregate(task, marks):
    made = marks_of(task, "p", answers(marks), "d")
    known = {"bbh": "bbh", "gsm8k": "gsm8k", "mmlu": "mmlu"}.get(task)
    rows = [mark for own in marks.values() for mark in own]
    mean = Fraction(sum(rows) * 100, len(rows) * FULL_MARK)
    assert made.score == (parse("tasks", known).aggregate(marks) if known else mean)


def test_an_unknown_subset_or_mark_is_refused():
    with pytest.raises(ValueError, match="no subset"):
        marks_of("longbench", "p", answers({"nowhere": [0]}), "d")
    with pytest.raises(ValidationError):
        marks_of("gsm8k", "p", answers({None: [FULL_MARK + 1]}), "d")
    with pytest.raises(ValidationError):
        Stratum(weight=1, marks=())


def test_more_subsets_than_any_task_has_are_refused_before_they_are_weighed():
    sizes = {f"{number}": 2**62 for number in range(201)}  # whoever began would have no memory for these
    with pytest.raises(ValueError, match="201 subsets"):
        stratum_weights("gsm8k", sizes)
    assert len(stratum_weights("gsm8k", dict.fromkeys(list(sizes)[:200], 1))) == 200


def test_marks_survive_json():
    made = marks_of("gsm8k", "p", answers({None: [FULL_MARK, 0, 0]}), "d")
    assert Marks.model_validate_json(made.to_bytes()) == made
