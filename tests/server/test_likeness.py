"""Sketches leave out no pair that is alike, and nearly all others."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations, permutations

from hypothesis import given
from hypothesis import strategies as st

from edgelm.server.likeness import SHORT, alike, may_be_alike, sketch


def answers(numbers):
    """Digests as `duplicates.fingerprint` has them, of answers that have numbers."""
    return b"".join(sorted(random.Random(number).randbytes(SHORT) for number in numbers))


@st.composite
def runs(draw):
    """Some runs of one model, each with a few answers changed, left out, added or repeated; and those of another."""
    size, step = draw(st.integers(0, 700)), 10**6
    made = [list(range(size))]
    for run in range(1, 6):
        own = list(made[draw(st.integers(0, run - 1))])
        most = max(1, len(own) // 60)
        for at in draw(st.lists(st.integers(0, max(0, len(own) - 1)), max_size=most)):
            own[at:at] = [run * step + at]
            if draw(st.booleans()) and at + 1 < len(own):
                del own[at + 1]
        made.append(own + own[: draw(st.integers(0, most))])
    return [answers(own) for own in [*made, range(7 * step, 7 * step + size)]]


def naive(one, other):
    """The share of equal answers, by what it is."""
    counted = [Counter(each[at : at + SHORT] for at in range(0, len(each), SHORT)) for each in (one, other)]
    equal, of = sum((counted[0] & counted[1]).values()), max(sum(each.values()) for each in counted)
    return f"{equal} of {of}" if of and equal / of >= 0.99 else ""


@given(runs())
def test_what_sketches_let_through_is_what_all_pairs_give(made):
    for one, other in permutations(made, 2):
        theirs = sketch(other)
        near = may_be_alike(sketch(one, len(theirs)), theirs)
        assert (alike(one, other) if near else "") == naive(one, other)


def test_models_that_agree_on_most_answers_are_told_apart_by_their_sketches():
    drawn = random.Random(1)
    teams = [answers(number if drawn.random() < 0.85 else drawn.randrange(10**6, 10**9) for number in range(5000))
             for _ in range(6)]  # fmt: skip
    sketches = [sketch(each) for each in teams]
    assert all(len(each) * 16 < len(own) for each, own in zip(sketches, teams, strict=True))
    assert not any(may_be_alike(*pair) for pair in combinations(sketches, 2))
