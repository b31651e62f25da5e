from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.entries import Entry, SlotModel
from edgelm.score.protocols import common, hold_to, refusal

RULES = Miniature()


def entry(team, protocol, number=1, peak=1):
    model = SlotModel(name="m", scores={"gsm8k": 50}, protocols={"gsm8k": protocol}, peak_memory=peak)
    return Entry(submission=f"{team}{number}", team=team, received=datetime(2024, 10, 1, tzinfo=UTC),
                 models={"base": model})  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "protocol", "refused"),
    [
        (Neurips2024(), "opencompass-0.3.1/gsm8k-1d7fe4", ""),
        (Neurips2024(), "opencompass-0.3.1/gsm8k-ffffff", "the rules ask for opencompass-0.3.1/gsm8k-1d7fe4"),
        (Neurips2024(), "miniature-1/gsm8k-1d7fe4", "the rules ask for opencompass-0.3.1/gsm8k-1d7fe4"),
        (RULES, "miniature-1/gsm8k-ece68579", ""),
        (RULES, "opencompass-0.3.1/gsm8k-1d7fe4", "the rules ask for miniature-1"),
    ],
)
def test_suite_and_pinned_version_count(rules, protocol, refused):
    assert refusal(rules, "gsm8k", protocol).endswith(refused)
    assert bool(refusal(rules, "gsm8k", protocol)) == bool(refused)


SECRET, ELSEWHERE = "holdout/ethics-1a2b3c4d", "ceval-exam/ceval-00112233"
HOLDING = replace(Neurips2024(), holdouts=("ethics", "ceval", "mmlu", "open", "free"),
                  versions=(SECRET, ELSEWHERE, "mmlu-4d595a"))  # fmt: skip


@pytest.mark.parametrize(
    ("task", "protocol", "by_team", "by_organiser"),
    [
        ("ethics", SECRET, False, True),
        ("ethics", "holdout/ethics-ffffffff", False, False),
        ("ethics", "opencompass-0.3.1/ethics-1a2b3c4d", False, False),
        ("open", "holdout/open-00000000", False, True),
        ("ceval", ELSEWHERE, True, True),
        ("ceval", "opencompass-0.3.1/ceval-5f30c7", False, False),
        ("mmlu", "opencompass-0.3.1/mmlu-4d595a", True, True),
        ("free", "opencompass-0.3.1/free-me", False, True),
        ("mmlu", "elsewhere/mmlu-4d595a", False, False),
    ],
)
def test_a_holdout_counts_where_it_is_pinned_and_a_secret_or_open_one_from_the_organiser(
    task, protocol, by_team, by_organiser
):
    assert (refusal(HOLDING, task, protocol) == "") is by_team
    assert (refusal(HOLDING, task, protocol, organiser=True) == "") is by_organiser


def test_most_teams_decide_and_not_most_submissions():
    field = [entry("A", "s/a", 1), entry("A", "s/a", 2), entry("A", "s/a", 3), entry("B", "s/b"), entry("C", "s/b")]
    assert common(RULES, field) == {"gsm8k": "s/b"}


def test_equally_many_go_to_the_smallest_name():
    assert common(RULES, [entry("A", "s/b"), entry("B", "s/a")]) == {"gsm8k": "s/a"}


def test_what_is_out_of_competition_has_no_say():
    field = [entry("A", "s/a", peak=10), entry("B", "s/b")]
    assert common(replace(RULES, memory_limit=10), field) == {"gsm8k": "s/b"}


def test_an_entry_is_held_once():
    held = hold_to({"gsm8k": "s/a"}, entry("B", "s/b"))
    assert held.models["base"].scores == held.models["base"].protocols == {}
    assert len(held.models["base"].notes) == 1
    assert hold_to({"gsm8k": "s/a"}, held) == held
    assert hold_to({}, entry("B", "s/b")) == entry("B", "s/b")
