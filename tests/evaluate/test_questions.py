"""Which rows are asked."""

from edgelm.chat import ask
from edgelm.evaluate.questions import Selection
from edgelm.tasks.base import Sample


def test_the_first_rows_are_taken_in_turn_from_the_subsets():
    subsets = ["a", "a", "a", "b", "c", "c"]
    samples = [Sample(str(index), index, ask("?"), "", subset) for index, subset in enumerate(subsets)]
    assert [sample.index for sample in Selection(limit=3).of(samples)] == [0, 3, 4]
    assert [sample.index for sample in Selection(limit=5).of(samples)] == [0, 1, 3, 4, 5]
    assert Selection(limit=9).of(samples) == samples
