"""The order of answers: group after group, the longest first, within the limits, and every row exactly once."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edgelm.engines.prefixes import Group
from edgelm.engines.scheduler import Length, Limits, Schedule


def _schedule(rows, groups=None, *, at_once=2, admitted=100, kept=1000):
    groups = groups or [Group((), tuple(range(len(rows))))]
    return Schedule(groups, [Length(*row) for row in rows], Limits(at_once, admitted, kept))


def test_the_longest_starts_first_and_a_row_that_ends_makes_room():
    schedule = _schedule([(1, 5), (1, 9), (1, 7)])
    assert schedule.admit().rows == [1, 2]
    assert schedule.admit().rows == []
    schedule.end([2])
    assert schedule.admit().rows == [0]
    schedule.end([0, 1])
    assert schedule.done


def test_a_beginning_is_read_once_before_its_first_row_and_forgotten_after_its_last():
    schedule = _schedule([(1, 1)] * 4, [Group((7,) * 20, (0, 1)), Group((8,) * 30, (2,)), Group((), (3,))])
    first = schedule.admit()
    assert (first.groups, first.rows) == ([0], [0, 1])
    assert schedule.end([0]) == []
    assert schedule.admit().groups == [1]
    assert schedule.end([1]) == [0]
    assert schedule.admit().groups == []  # an empty beginning needs no reading
    assert schedule.end([2, 3]) == [1, 2]


def test_a_step_reads_no_more_than_it_may():
    schedule = _schedule([(60, 1), (50, 1), (40, 1)], at_once=9)
    assert schedule.admit().rows == [0]
    assert schedule.admit().rows == [1, 2]


def test_a_prompt_too_long_for_a_step_is_read_alone():
    schedule = _schedule([(500, 1), (5, 1)], at_once=9)
    assert schedule.admit().rows == [0]
    schedule.end([0])
    assert schedule.admit().rows == [1]


def test_no_more_is_promised_than_the_memory_holds():
    schedule = _schedule([(10, 300), (10, 290), (10, 280)], [Group((7,) * 350, (0, 1, 2))], at_once=9)
    assert schedule.admit().rows == [0, 1]  # 350 + 310 + 300 of 1000
    schedule.end([0])
    assert schedule.admit().rows == [2]


def test_a_row_larger_than_the_memory_still_runs():
    assert _schedule([(10, 5000)]).admit().rows == [0]


@given(
    st.lists(st.tuples(st.integers(1, 80), st.integers(1, 400)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(),
)
def test_every_row_runs_once_and_within_the_limits(rows, at_once, seed):
    random = Random(seed)
    half = len(rows) // 2
    division = [Group((7,) * 50, tuple(range(half))), Group((), tuple(range(half, len(rows))))]
    schedule = _schedule(rows, [group for group in division if group.rows], at_once=at_once, kept=900)
    seen = []
    while not schedule.done:
        admission = schedule.admit()
        seen += admission.rows
        assert 0 < len(schedule.running) <= at_once
        kept = sum(sum(rows[row]) for row in schedule.running)
        assert kept <= 900 or len(schedule.running) == 1
        schedule.end(random.sample(sorted(schedule.running), random.randint(0, len(schedule.running))))
    assert sorted(seen) == list(range(len(rows)))
