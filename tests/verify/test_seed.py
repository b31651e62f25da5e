"""Orders that follow from the secret seed alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.errors import BadOption
from edgelm.files import sha256_bytes
from edgelm.verify.seed import Seed

SEED = Seed.parse("00112233445566778899aabbccddeeff")


@pytest.mark.parametrize("text", ["", "xyz", "00" * 15, "0" * 31])
def test_what_is_no_secret_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(BadOption, match="openssl rand") as refused:
        Seed.parse(text)
    assert not text or text not in str(refused.value)


def test_the_digest_is_that_of_the_bytes_and_the_secret_is_in_no_text() -> None:
    assert SEED.digest == sha256_bytes(bytes.fromhex("00112233445566778899aabbccddeeff"))
    assert "11" not in repr(SEED)


@given(st.sets(st.text(max_size=9), max_size=9).flatmap(lambda names: st.permutations(sorted(names))), st.text())
def test_an_order_depends_on_names_alone(names: list[str], within: str) -> None:
    ordered = SEED.order(names, str, within)
    assert sorted(ordered) == sorted(names) and ordered == SEED.order(sorted(names), str, within)
    for left_out in names:
        rest = SEED.order([name for name in names if name != left_out], str, within)
        assert rest == [name for name in ordered if name != left_out]


def test_other_seeds_submissions_and_tasks_have_other_orders() -> None:
    names = [str(number) for number in range(50)]
    other = Seed(bytes(16))
    orders = [SEED.order(names, str, "a", "b"), other.order(names, str, "a", "b"), SEED.order(names, str, "ab", ""),
              SEED.order(names, str, "a", "c"), SEED.order(names, str, "a")]  # fmt: skip
    assert len({tuple(order) for order in orders}) == len(orders)
