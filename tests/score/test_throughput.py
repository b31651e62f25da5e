from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.throughput import model_throughput, ranked_throughput

RULES = Neurips2024()
times = st.lists(st.sampled_from([1, 10**9, 10**12]), min_size=5, max_size=8)


def test_the_median_of_five_repeats():  # G-13
    repeats = [6_400_000_000, 6_410_000_000, 6_390_000_000, 6_450_000_000, 6_380_000_000]
    assert model_throughput(RULES, repeats) == Fraction(625, 2)
    assert ranked_throughput([Fraction(625, 2)]) == 312


def test_rounding_comes_last_and_once():  # G-14
    assert ranked_throughput([Fraction("312.5"), Fraction(290), None]) == 201
    assert ranked_throughput([None, None, None]) is None


def test_too_few_repeats_give_no_figure():
    assert model_throughput(RULES, [10**9] * 4) is None


@settings(max_examples=1000, deadline=None)
@given(times)
def test_the_median_is_exact_at_any_speed(nanoseconds):  # property 13
    rates = sorted(Fraction(2000 * 10**9, each) for each in nanoseconds)
    half = len(rates) // 2
    expected = rates[half] if len(rates) % 2 else (rates[half - 1] + rates[half]) / 2
    assert model_throughput(RULES, nanoseconds) == expected
