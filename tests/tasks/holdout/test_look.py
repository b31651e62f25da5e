"""What is said of a hold-out's rows."""

from edgelm.chat import ask
from edgelm.tasks.base import Sample
from edgelm.tasks.holdout.look import look


def _sample(question, reference, choices=(), subset=None):
    return Sample("x", 0, ask(question), reference, subset=subset, choices=choices)


def test_repeats_count_across_tasks_and_choices_tell_questions_apart():
    seen = set()
    weighed = [_sample("Say", 0, (" a", " b")), _sample("Say", 1, (" a", " c"))]
    assert look(weighed, seen).repeated == 0
    assert look([_sample("Say", 1, (" a", " b")), _sample("Say", ["x"])], seen).repeated == 1


def test_right_choices_are_counted_and_subsets_too():
    found = look(
        [_sample("?", ("B", "AB"), subset="s"), _sample("??", ("A", "AB")), _sample("!", 2, ("x", "y", "z"))], set()
    )
    assert found.references == {"2": 1, "A": 1, "B": 1} and found.subsets == {"s": 1} and found.rows == 3


def test_a_question_that_holds_its_answer_is_counted():
    rows = [_sample("Is Paris in France?", ["paris"]), _sample("Is 3 odd?", ["3"]), _sample("Who?", ["Paris"]),
            _sample("def f", ("before def f", "after")), _sample("def g", ("\n", "after"))]  # fmt: skip
    found = look(rows, set())
    assert found.revealing == 1 and found.references == {}


def test_no_rows_are_no_fault():
    assert look([], set()).example == ""
