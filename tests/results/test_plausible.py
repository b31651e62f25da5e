"""k of n: every possible score passes, impossible ones are named with the likely exchange."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.data.pinned_rows import upstream_samples


def doubts(claims):
    return [note.what for note in claims.notes if note.code == "CLM-09"]


def test_the_numbers_of_samples_are_those_of_the_upstream_files():
    assert upstream_samples() == {"commonsenseqa": 1221, "gsm8k": 1319, "humaneval": 164, "chid": 2002}


@pytest.fixture(scope="module")
def fitting():
    """Whether a cell of a column, in a row of one model, passes."""
    from edgelm.results.held import expected
    from edgelm.results.read import read
    from edgelm.rules.neurips_2024 import Neurips2024

    rules = Neurips2024()
    held = expected(rules, ["model"])
    return lambda column, cell: not doubts(read(f"{column}\n{cell}\n".encode(), "Results.csv", held))


@settings(max_examples=300, deadline=None)
@given(right=st.data(), decimals=st.integers(1, 4))
def test_every_k_of_n_passes_at_any_decimals(fitting, right, decimals):
    column, n = right.draw(
        st.sampled_from([("CommonsenseQA", 1221), ("GSM8K", 1319), ("HumanEval", 164), ("CHID", 2002)])
    )
    k = right.draw(st.integers(0, n))
    assert fitting(column, f"{float(round(Fraction(100 * k, n), decimals)):.{decimals}f}")


@pytest.mark.parametrize(("column", "cell"), [("GSM8K", "40.24"), ("HumanEval", "63.31"), ("CHID", "0.29"),
                                              ("CommonsenseQA", "0.7240")])  # fmt: skip
def test_scores_that_no_k_gives(fitting, column, cell):
    assert not fitting(column, cell)


@pytest.mark.parametrize(("column", "cell"), [("TruthfulQA", "44.47"), ("BIG-Bench-Hard", "63.64"), ("GSM8K", "40")])
def test_means_of_means_and_round_figures_are_not_doubted(fitting, column, cell):
    assert fitting(column, cell)


def test_a_score_given_as_a_fraction_is_named(says):
    (what,) = doubts(says("Model,CommonsenseQA\nphi-2,0.7240\n"))
    assert "as a fraction it would be 72.4 %" in what


def test_a_mean_of_three_models_may_be_any_k_of_three_times_n(says):
    third = Fraction(100 * 1000, 3 * 1319)
    assert not doubts(says(f"GSM8K\n{float(third):.3f}\n", "Results.csv"))
    assert doubts(says(f"GSM8K\n{float(third):.3f}\n", "Results.csv", "from-scratch"))


def test_another_suites_numbers_of_rows_are_not_known():
    from edgelm.results.held import expected
    from edgelm.results.read import read
    from edgelm.rules.miniature import Miniature

    assert not doubts(read(b"GSM8K\n40.24\n", "Results.csv", expected(Miniature(), ["base"])))


@pytest.mark.parametrize(("row", "said"), [("0,0.00,0", True), ("0,0.01,0", False), ("0,,", True), (",,1", False)])
def test_a_row_of_zeros_alone(says, row, said):
    claims = says(f"GSM8K,HumanEval,Memory (MiB)\n{row}\n", "Results.csv", "from-scratch")
    assert ("CLM-06" in {note.code for note in claims.notes}) is said
