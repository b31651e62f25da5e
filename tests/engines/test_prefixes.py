"""Shared beginnings: found on token ids, worth their cost, and never a whole prompt."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgelm.engines.prefixes import Group, common, groups

texts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), max_size=10)


def _saved(division):
    return sum(len(group.prefix) * (len(group.rows) - 1) for group in division)


@given(texts)
def test_every_row_is_in_one_group_and_keeps_a_token_of_its_own(prompts):
    division = groups(prompts, least=1)
    assert sorted(row for group in division for row in group.rows) == list(range(len(prompts)))
    for group in division:
        for row in group.rows:
            assert tuple(prompts[row][: len(group.prefix)]) == group.prefix
            assert len(prompts[row]) > len(group.prefix)


@given(texts)
def test_a_group_never_saves_less_than_the_best_pairing_of_neighbours(prompts):
    division = groups(prompts, least=1)
    ordered = sorted(ids[:-1] for ids in prompts)
    alone = [common(one, other) for one, other in pairwise(ordered)]
    assert _saved(division) >= max(alone, default=0)
    assert _saved(division) >= (len(prompts) - 1) * min(alone, default=0)


def test_the_longer_beginning_of_few_wins_over_the_shorter_of_all_if_it_saves_more():
    prompts = [[9] * 20 + [task] * 40 + [row] for task in (1, 2) for row in range(3)]
    assert [group.rows for group in groups(prompts)] == [(0, 1, 2), (3, 4, 5)]
    assert {len(group.prefix) for group in groups(prompts)} == {60}
    spread = [[9] * 20 + [row] for row in range(6)]
    assert groups(spread) == [Group((9,) * 20, (0, 1, 2, 3, 4, 5))]


def test_a_beginning_too_short_to_pay_is_left_alone():
    assert groups([[1] * 15 + [2], [1] * 15 + [3]]) == [Group((), (0, 1))]
    assert groups([[1] * 16 + [2], [1] * 16 + [3]]) == [Group((1,) * 16, (0, 1))]


def test_equal_prompts_share_all_but_their_last_token():
    assert groups([[5] * 30] * 3) == [Group((5,) * 29, (0, 1, 2))]


def test_rows_that_share_nothing_come_last_together():
    assert groups([[1], [2] * 40, [3, 4], [2] * 41]) == [Group((2,) * 39, (1, 3)), Group((), (0, 2))]
    assert groups([]) == []


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_is_the_first_difference(one, other):
    length = common(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]
