"""What blind answers earn is what the rows give, and stands beside official scores alone."""

import math
from collections import Counter, defaultdict

import pytest

from edgelm.evaluate.blind import BLIND, blind
from edgelm.plugins import parse
from edgelm.tasks import bbh

CHOICES = {"commonsenseqa": 5, "chid": 7}


@pytest.mark.parametrize("name", BLIND)
def test_the_figures_are_those_of_the_rows(upstream, name):
    task = parse("tasks", name)
    subsets = defaultdict(list)
    for sample in task.samples(upstream):
        subsets[sample.subset].append(sample)
    chances, constants, variance = [], [], 0.0
    for rows in subsets.values():
        references = Counter(_reference(sample) for sample in rows)
        best = references.most_common(1)[0][1] / len(rows)
        chances.append(sum(_chance(name, sample, len(references)) for sample in rows) / len(rows))
        constants.append(best)
        variance += best * (1 - best) / len(rows) / len(subsets) ** 2
    expected = BLIND[name]
    assert 100 * sum(chances) / len(subsets) == pytest.approx(expected.chance, abs=0.05)
    assert 100 * sum(constants) / len(subsets) == pytest.approx(expected.constant, abs=0.05)
    assert 100 * math.sqrt(variance) == pytest.approx(expected.error, abs=0.1)


def _reference(sample):
    return bbh.letter(sample.reference) if sample.subset in bbh.CHOICE_SETS else sample.reference


def _chance(name, sample, references):
    if name == "bbh":
        listed = len(bbh.listed(sample)) if sample.subset in bbh.CHOICE_SETS else references
        return 1 / listed if sample.subset in bbh.CHOICE_SETS or references == 2 else 0
    return 1 / CHOICES[name] if name in CHOICES else 0


def test_only_official_scores_are_held_against_them(make_answers, make_score):
    score = make_score(make_answers([1]))
    assert blind("gsm8k", score) == BLIND["gsm8k"] and blind("humaneval", score) is None
    assert blind("gsm8k", make_score(make_answers([1]), protocol="miniature-1/gsm8k-0a1b2c3d")) is None
    assert BLIND["gsm8k"].skill == 4.0
