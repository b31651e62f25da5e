"""What packs of every kind share: names, exemplars, subsets, the score."""

from fractions import Fraction

import pytest

from edgelm.report import FULL_MARK
from edgelm.tasks.holdout.load import holdout_tasks


@pytest.fixture
def made(holdout):
    """A pack's task and the samples of its rows."""

    def make(pack, rows):
        ((task, data),) = holdout_tasks(holdout({"x.json": pack, "x.jsonl": rows}))
        return task, task.samples(data)

    return make


def test_rows_go_by_the_packs_name_and_their_subset(made, choice, ethics):
    task, samples = made(choice, ethics)
    assert (task.label, task.max_tokens, task.stop) == ("x", 4, ())
    assert [sample.id for sample in samples] == [f"x-{n}" for n in range(6)]
    assert [sample.subset for sample in samples] == ["even", "odd"] * 3
    assert {turn.role for turn in samples[0].prompt.turns} == {"user", "assistant"}
    assert made({"kind": "free", "prompt": "{q}", "stop": ["\n"]}, [{"q": 1.5, "answer": "x"}])[0].stop == ("\n",)


def test_the_score_is_the_mean_of_rows_or_of_subsets(made, choice, ethics):
    marks = {"even": [FULL_MARK], "odd": [0, 0, 0], "none": []}
    assert made(choice, ethics)[0].aggregate(marks) == Fraction(25)
    task, _ = made(choice | {"average": "subsets"}, ethics)
    assert task.aggregate(marks) == Fraction(50) and task.aggregate({}) == 0
