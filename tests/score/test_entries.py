from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgelm.errors import UnknownName
from edgelm.report import Speed, Workload
from edgelm.rules.base import Rules, Track
from edgelm.score.entries import (
    Entry,
    SlotModel,
    ineligibility,
    mean_score,
    ranked_scores,
    ranked_tasks,
    valid_score,
)
from edgelm.score.exact import mean_or_missing

THREE = Track("compression", "compressed", ("a", "b", "c"))
RULES = Rules(name="r", tracks=(THREE,), tasks=("gsm8k", "holdout"), holdouts=("holdout-1", "holdout-2"))
WHEN = datetime(2024, 10, 1, tzinfo=UTC)


def entry(models, **other):
    return Entry(**{"submission": "s", "team": "t", "received": WHEN, "models": models} | other)


def model(score=None, *, speed=None, peak=1, **scores):
    given_scores = ({} if score is None else {"gsm8k": score}) | scores
    return SlotModel(name="m", scores=given_scores, throughput=speed, peak_memory=peak)


def by_slot(*values, **keyword):
    return {slot: model(value, **keyword) for slot, value in zip("abc", values, strict=True)}


@pytest.mark.parametrize(
    ("scores", "expected"), [((60, 30, None), Fraction(30)), ((None,) * 3, None), ((0, 0, 0), Fraction(0))]
)
def test_a_track_of_three_models_is_divided_by_three(scores, expected):  # G-12
    assert ranked_scores(RULES, THREE, entry(by_slot(*scores)))["gsm8k"] == expected


def test_throughput_of_one_model_is_the_median_rounded_once():  # G-13
    repeats = [6_400_000_000, 6_410_000_000, 6_390_000_000, 6_450_000_000, 6_380_000_000]
    workload = Workload(prompt_tokens=1500, generated_tokens=500)
    speed = Speed(
        workload=workload, device="cpu", repeats_ns=repeats, first_token_ns=[1] * 5, prefill=1, decode=1, spread=0
    )
    assert speed.throughput == Fraction(625, 2)
    single = Track("one", "from-scratch", ("a",))
    assert ranked_scores(RULES, single, entry({"a": model(speed=speed.throughput)}))["throughput"] == 312


def test_throughput_of_three_models_is_rounded_after_the_mean():  # G-14
    speeds = [Fraction("312.5"), Fraction(290), None]
    assert mean_or_missing(speeds) == Fraction(1205, 6)
    models = {slot: model(speed=speed) for slot, speed in zip("abc", speeds, strict=True)}
    assert ranked_scores(RULES, THREE, entry(models))["throughput"] == 201


def test_holdouts_are_averaged_and_a_void_one_leaves_the_mean():  # G-16
    single = Track("one", "from-scratch", ("a",))
    only = entry({"a": model(**{"holdout-1": 40})})
    assert ranked_scores(RULES, single, only)["holdout"] == 20
    assert ranked_scores(RULES, single, only, void=["holdout-2"])["holdout"] == 40
    assert ranked_scores(RULES, single, only, void=["holdout-1"])["holdout"] is None
    assert "holdout" not in ranked_scores(RULES, single, only, void=["holdout-1", "holdout-2"])


LIMIT = 12 * 2**30


@pytest.mark.parametrize(("peaks", "inside"), [([LIMIT - 1], True), ([LIMIT], False), ([1, 1, LIMIT], False)])
def test_memory_must_be_below_the_limit(peaks, inside):  # G-17
    models = {slot: model(peak=peak) for slot, peak in zip("abc", peaks, strict=False)}
    reasons = ineligibility(RULES, entry(models))
    assert (not reasons) == inside
    assert inside or "12,884,901,888" in reasons[0]


def test_reasons_known_before_scoring_are_kept():
    assert ineligibility(RULES, entry({}, reasons=("dtype: BF16",))) == ("dtype: BF16",)


def test_without_measured_memory_nothing_is_valid():
    models = by_slot(60, 60, 60, speed=Fraction(9), peak=None)
    assert set(ranked_scores(RULES, THREE, entry(models)).values()) == {None}


def test_void_must_name_a_task():
    assert list(ranked_tasks(RULES)) == ["gsm8k", "holdout", "throughput"]
    assert ranked_tasks(RULES, ["throughput"]) == {"gsm8k": 1, "holdout": 1}
    with pytest.raises(UnknownName, match="gsm9k"):
        ranked_tasks(RULES, ["gsm9k"])


@pytest.mark.parametrize(
    "value", ["NaN", "inf", "-inf", "-1/3", -1, "1/0", "many", 0.5, True, None, float("nan"), "1e999999999"]
)
def test_what_is_no_score_is_missing(value):
    assert valid_score(value) is None
    assert model(gsm8k=value).scores["gsm8k"] is None


def test_mean_score_leaves_throughput_out():
    scores = {"a": Fraction(1), "b": None, "c": Fraction(3), "throughput": Fraction(99)}
    assert mean_score(scores) == Fraction(4, 3)


def test_facts_of_all_models_together():
    models = {"a": SlotModel(name="a", scores={}, peak_memory=5, parameters=1, bytes=2),
              "b": SlotModel(name="b", scores={}, peak_memory=7, parameters=3, bytes=6)}  # fmt: skip
    both = entry(models)
    assert (both.peak_memory, both.parameters, both.bytes) == (7, 4, 8)
    assert entry({"a": model(peak=None)}).peak_memory is None


def test_an_instant_needs_a_zone_and_is_kept_in_utc():
    aoe = timezone(timedelta(hours=-12))
    assert entry({}, received=datetime(2024, 10, 25, 23, tzinfo=aoe)).received == datetime(2024, 10, 26, 11, tzinfo=UTC)
    a, b = (entry({}, received=WHEN.astimezone(zone)) for zone in (UTC, aoe))
    assert a.model_dump_json() == b.model_dump_json()
    with pytest.raises(ValidationError):
        entry({}, received=datetime(2024, 10, 25))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=3, max_size=3))
def test_a_missing_model_counts_as_zero_unless_all_are_missing(scores):  # property 12
    as_zero = [0 if score is None else score for score in scores]
    got = ranked_scores(RULES, THREE, entry(by_slot(*scores)))["gsm8k"]
    zeroed = ranked_scores(RULES, THREE, entry(by_slot(*as_zero)))["gsm8k"]
    assert zeroed == Fraction(sum(as_zero), 3)
    assert got == (zeroed if any(score is not None for score in scores) else None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([1, 10**12]), min_size=1, max_size=6))
def test_throughput_is_exact_at_any_speed(repeats):  # property 13
    workload = Workload(prompt_tokens=1500, generated_tokens=500, repeats=len(repeats))
    speed = Speed(
        workload=workload, device="d", repeats_ns=repeats, first_token_ns=repeats, prefill=1, decode=1, spread=0
    )
    rates = sorted(Fraction(2000 * 10**9, ns) for ns in repeats)
    n = len(rates)
    assert speed.throughput == (rates[(n - 1) // 2] + rates[n // 2]) / 2


def test_memory_limit_is_a_rule():
    assert ineligibility(replace(RULES, memory_limit=1), entry({"a": model(peak=1)}))
