"""Nearly equal texts are found, others are not, and an estimate is as good as it should be."""

from __future__ import annotations

import random

import numpy as np
import pytest

from edgelm.train.text.near import PERMUTATIONS, NearDuplicates, likeness, signature

WORDS = [f"word{number}" for number in range(4000)]
CHINESE = [chr(number) for number in range(0x4E00, 0x5E00)]


def changed(units: list[str], count: int, draw: random.Random) -> list[str]:
    """The same with some units replaced."""
    made = units.copy()
    for place in draw.sample(range(len(units)), count):
        made[place] = draw.choice(WORDS) if units[place] in WORDS else draw.choice(CHINESE)
    return made


def jaccard(one: list[str], other: list[str]) -> float:
    sets = [{tuple(units[start : start + 5]) for start in range(len(units) - 4)} for units in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize(("alphabet", "between"), [(WORDS, " "), (CHINESE, "")])
def test_likeness_estimates_jaccard(alphabet: list[str], between: str) -> None:
    draw = random.Random(0)
    errors = []
    for count in range(0, 40):
        one = draw.sample(alphabet, 300)
        other = changed(one, count, draw)
        found = likeness(signature(between.join(one)), signature(between.join(other)))
        errors.append(found - jaccard(one, other))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.06


def test_near_duplicates_are_found_and_others_kept() -> None:
    draw = random.Random(1)
    originals = [draw.choices(WORDS, k=200) for _ in range(60)]
    kept = NearDuplicates()
    assert not any(kept.holds(signature(" ".join(each))) for each in originals)
    near = [changed(each, 2, draw) for each in originals]  # likeness about 0.9
    far = [changed(each, 40, draw) for each in originals]  # about 0.2
    assert sum(kept.holds(signature(" ".join(each))) for each in near) >= 57
    assert not any(kept.holds(signature(" ".join(each))) for each in far)
    assert all(kept.holds(signature(" ".join(each).upper() + "!")) for each in originals)


def test_short_texts_are_one_shingle_and_texts_without_words_like_none() -> None:
    kept = NearDuplicates()
    assert [kept.holds(signature(text)) for text in ("Yes.", "No.", "yes", "...", "???", "Yes, no.", "水")] == [
        False, False, True, False, False, False, False,
    ]  # fmt: skip


def test_long_texts_have_signatures_too() -> None:
    draw = random.Random(2)
    one = draw.choices(WORDS, k=9000)  # more shingles than are permuted at once
    assert signature(" ".join(one)).shape == (PERMUTATIONS,)
    assert likeness(signature(" ".join(one)), signature(" ".join(changed(one, 90, draw)))) == pytest.approx(
        0.9, abs=0.1
    )
    # The least of each part is the least of the whole.
    halves = [signature(" ".join(one[:5002])), signature(" ".join(one[4998:]))]
    assert (np.minimum(*halves) == signature(" ".join(one))).all()


def test_signatures_do_not_change() -> None:
    assert signature("The quick brown fox jumps over the lazy dog").tolist()[:3] == [2084502886, 788103416, 602750038]
