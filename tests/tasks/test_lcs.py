"""The table of longest common subsequences against the plain recurrence."""

from hypothesis import given
from hypothesis import strategies as st

from edgelm.tasks.lcs import lcs_length, lcs_rows

WORDS = st.lists(st.sampled_from("abc"), max_size=12)


def _lengths(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, left in enumerate(first, 1):
        for j, right in enumerate(second, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if left == right else max(table[i - 1][j], table[i][j - 1])
    return table


@given(WORDS, WORDS)
def test_bits_are_clear_where_the_length_grows(first, second):
    table, rows = _lengths(first, second), lcs_rows(first, second)
    grows = [[row[j + 1] > row[j] for j in range(len(second))] for row in table]
    assert grows == [[not row >> j & 1 for j in range(len(second))] for row in rows]
    assert lcs_length(first, second) == table[-1][-1]


def test_the_length_of_long_texts():
    assert lcs_length("ab" * 500, "ba" * 500) == 999
    assert lcs_length("", "") == 0
