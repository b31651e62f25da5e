from __future__ import annotations

import pytest

from edgelm.compress.search.candidates import Candidate
from edgelm.compress.search.limits import Limit, limit_of
from edgelm.errors import BadOption
from edgelm.shapes import Shape

SHAPE = Shape("llama", 2, 64, 4, 2, 16, 128, 256, 256, tied=True)


def test_a_phone_leaves_less_than_it_has() -> None:
    assert limit_of("12GB").memory == limit_of("12gb").memory == 9_000_000_000


@pytest.mark.parametrize(("text", "count"), [("7GB", 7 * 10**9), ("6GiB", 6 * 2**30), ("12.5GB", 12_500_000_000)])
def test_any_other_value_is_the_ceiling_itself(text: str, count: int) -> None:
    assert limit_of(text) == Limit(memory=count)


def test_parameters_and_both() -> None:
    assert limit_of(parameters="3.7B") == Limit(parameters=3_700_000_000)
    assert str(limit_of("12GB", "3.7B", context=4096)) == "8.38 GiB at 4,096 tokens and 3.7B parameters"


@pytest.mark.parametrize("text", ["much", "-3GB", "0", "", "7GBs"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="--fit"):
        limit_of(text)
    with pytest.raises(BadOption, match="--target-params"):
        limit_of(parameters=text)


def test_something_must_be_fitted() -> None:
    with pytest.raises(BadOption, match="something to fit"):
        limit_of()


def test_exactly_the_limit_is_within_it() -> None:
    candidate = Candidate(SHAPE, parameters=100, memory=1000, read=500)
    assert Limit().holds(candidate)
    assert Limit(memory=1000, parameters=100).holds(candidate)
    assert not Limit(memory=999).holds(candidate)
    assert not Limit(memory=1000, parameters=99).holds(candidate)
