"""Each test's verdict at its limits, on figures alone."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.devices.timing import Repeat
from edgelm.report import Workload
from edgelm.verify.agreement import Agreement, agreement
from edgelm.verify.counts import exact_counts
from edgelm.verify.hidden import hidden_prompts
from edgelm.verify.perplexity import same_perplexity
from edgelm.verify.remade import remade
from edgelm.verify.repeated import repeated_prompt
from edgelm.verify.result import Result, gravest
from edgelm.verify.self_agreement import self_agreement


def said(text: str, tokens: int = 3) -> Any:
    return SimpleNamespace(text=text, tokens=tokens)


def test_agreement_is_of_text_and_tokens_and_shows_where_they_part() -> None:
    one = {"a": said("alpha"), "b": said("it is 12 of them"), "c": said("gamma", 3), "d": said("delta")}
    other = {"a": said("alpha"), "b": said("it is 13"), "c": said("gamma", 4)}
    found = agreement(one, other, {key: f"sample-{key}" for key in "abcd"})
    assert (found.same, found.of, found.share) == (1, 4, Fraction(1, 4))
    assert [each["sample"] for each in found.apart] == ["sample-b", "sample-c", "sample-d"]
    assert found.apart[0]["at"] == 7 and found.apart[0]["texts"] == ["2 of them", "3"]
    assert agreement(one, other, {}).share == 1


@pytest.mark.parametrize(("same", "verdict"), [(100, "valid"), (99, "valid"), (98, "doubtful"), (0, "doubtful")])
def test_self_agreement_is_flagged_below_99_percent(same: int, verdict: str) -> None:
    assert self_agreement(Agreement(same, 100)).verdict == verdict


@pytest.mark.parametrize(("same", "itself", "same_engine", "verdict"), [
    (100, 100, True, "valid"), (98, 97, True, "valid"), (99, 100, True, "doubtful"), (90, 100, True, "doubtful"),
    (89, 100, True, "invalid"), (89, 100, False, "doubtful"), (100, 100, False, "valid"),
])  # fmt: skip
def test_stored_answers_are_held_to_what_the_model_repeats(
    same: int, itself: int, same_engine: bool, verdict: str
) -> None:
    assert remade(Agreement(same, 100), Agreement(itself, 100), same_engine=same_engine).verdict == verdict


def test_without_stored_answers_nothing_is_tested_and_the_whole_is_not_valid() -> None:
    found = remade(Agreement(0, 0), Agreement(0, 0), same_engine=True)
    assert found.verdict == "not tested"
    assert gravest([found, self_agreement(Agreement(1, 1))]) == "not tested"
    assert gravest([found, self_agreement(Agreement(0, 1))]) == "doubtful"


@pytest.mark.parametrize(("same", "itself", "verdict"), [
    (32, 32, "valid"), (31, 32, "invalid"), (30, 30, "valid"), (29, 30, "doubtful"), (20, 30, "invalid"),
    (31, 30, "valid"), (0, 1, "doubtful"),
])  # fmt: skip
def test_hidden_answers_leave_to_chance_only_what_the_model_does(same: int, itself: int, verdict: str) -> None:
    assert hidden_prompts(Agreement(same, 32), Agreement(itself, 32)).verdict == verdict


@pytest.mark.parametrize(("distinct", "repeated", "verdict"), [
    ([110, 110, 110], [100, 100, 100], "valid"), ([111, 111, 111], [100, 100, 100], "invalid"),
    ([100, 120, 130], [100, 105, 101], "doubtful"), ([50, 50, 50], [100, 100, 100], "valid"),
    ([160, 200, 300], [100, 105, 110], "doubtful"), ([200, 205, 300], [90, 95, 100], "invalid"),
    ([223], [100], "doubtful"), ([223, 223], [100, 100], "doubtful"),
])  # fmt: skip
def test_a_repeated_prompt_may_be_10_percent_faster_and_more_where_runs_of_one_kind_differ_by_as_much(
    distinct: list[int], repeated: list[int], verdict: str
) -> None:
    assert repeated_prompt(distinct, repeated).verdict == verdict


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=9), st.lists(st.integers(1, 10**12), min_size=1,
                                                                          max_size=9))  # fmt: skip
def test_only_one_of_two_kinds_of_runs_can_be_too_fast(one: list[int], other: list[int]) -> None:
    assert "valid" in (repeated_prompt(one, other).verdict, repeated_prompt(other, one).verdict)


def test_counts_name_the_runs_that_are_wrong() -> None:
    workload = Workload(prompt_tokens=4, generated_tokens=2)
    good, long = Repeat((1, 2), (5, 6), 4), Repeat((1, 2, 3), (5, 6, 7), 4)
    assert exact_counts([good, good], workload, 7).verdict == "valid"
    found = exact_counts([good, long], workload, 7)
    assert found.verdict == "invalid" and [each["run"] for each in found.evidence["wrong"]] == [2]
    assert exact_counts([good], workload, 6).verdict == "invalid", "the last id is beyond the vocabulary"
    assert exact_counts([Repeat((), (), 4)], workload, 7).evidence["wrong"][0]["largest_id"] is None


@pytest.mark.parametrize(("accuracy", "throughput", "verdict"), [
    (10.0, 10.0, "valid"), (10.0, 10.04, "valid"), (10.0, 10.06, "invalid"), (10.0, 9.94, "invalid"),
    (10.0, math.nan, "invalid"), (math.inf, math.inf, "invalid"), (0.0, 0.0, "invalid"),
])  # fmt: skip
def test_perplexities_are_within_half_a_percent(accuracy: float, throughput: float, verdict: str) -> None:
    assert same_perplexity(accuracy, throughput).verdict == verdict


def test_the_gravest_verdict_counts() -> None:
    made = {verdict: Result("", "", verdict, "") for verdict in ("valid", "doubtful", "invalid")}  # type: ignore[arg-type]
    assert gravest([]) == gravest([made["valid"]]) == "valid"
    assert gravest([made["valid"], made["doubtful"]]) == "doubtful"
    assert gravest([made["invalid"], made["doubtful"]]) == "invalid"
