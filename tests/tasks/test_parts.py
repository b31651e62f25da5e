"""Names of parts of a task: never those of the whole, and the same for the same part."""

import pytest

from edgelm.errors import BadOption, UnknownName
from edgelm.tasks.parts import part, require_subsets

KNOWN = ("alpha", "beta", "gamma")


@pytest.mark.parametrize(("asked", "name"), [
    ((), ""), (KNOWN, ""), (("gamma", "beta", "alpha"), ""), (("beta",), "-beta"), (("gamma", "alpha"), "-alpha+gamma"),
])  # fmt: skip
def test_a_part_is_called_by_its_subsets_in_the_tasks_order(asked, name):
    assert part(asked, KNOWN) == name


def test_many_subsets_are_called_by_their_number_and_a_digest():
    many = [f"a-rather-long-name-{number}" for number in range(9)]
    names = {part(many[:number] + many[number + 1 :], many) for number in range(9)}
    assert len(names) == 9 and all(name.startswith("-8-of-9-") and len(name) == 16 for name in names)


def test_unknown_and_repeated_subsets_are_named():
    require_subsets(("beta", "alpha"), KNOWN, "Tests")
    with pytest.raises(UnknownName, match="no subset of Tests called 'bta'\nmend: did you mean 'beta'"):
        require_subsets(("bta",), KNOWN, "Tests")
    with pytest.raises(BadOption, match=r"beta\+beta names a subset twice"):
        require_subsets(("beta", "beta"), KNOWN, "Tests")
