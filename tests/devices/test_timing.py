from fractions import Fraction
from typing import Any

import pytest

from edgelm.devices.timing import SHOWN, Repeat, speed_of, waits
from edgelm.errors import Unsupported
from edgelm.report import Workload

WORKLOAD = Workload(prompt_tokens=100, generated_tokens=5, repeats=3)


def repeat(first: int, gap: int, **changed: Any) -> Repeat:
    arrived = tuple(first + gap * number for number in range(5))
    return Repeat(**({"arrived_ns": arrived, "ids": (1, 2, 3, 4, 5), "prompt_tokens": 100} | changed))


def test_figures_of_known_repeats() -> None:
    repeats = [repeat(10_000_000, 1_000_000), repeat(20_000_000, 2_000_000), repeat(40_000_000, 10_000_000)]
    speed = speed_of(WORKLOAD, "test", repeats, vocab=6, dtype="float32")
    assert speed.repeats_ns == [14_000_000, 28_000_000, 80_000_000]
    assert speed.first_token_ns == [10_000_000, 20_000_000, 40_000_000]
    assert speed.throughput == Fraction(105 * 10**9, 28_000_000)
    assert speed.prefill == pytest.approx(100 / 0.020)
    assert speed.decode == pytest.approx(4 / 0.008)
    assert speed.spread == pytest.approx((80 - 14) / 28)
    extra = speed.model_extra
    assert extra == {
        "valid_repeats": 3, "noisy": True, "dtype": "float32",
        "inter_token_median_ns": 2_000_000, "inter_token_p95_ns": 10_000_000,
        "waits": [[(first + gap * number, gap) for number in range(1, 5)]
                  for first, gap in ((10_000_000, 1_000_000), (20_000_000, 2_000_000), (40_000_000, 10_000_000))],
    }  # fmt: skip


def test_steady_repeats_are_not_marked_as_noisy() -> None:
    speed = speed_of(WORKLOAD, "test", [repeat(10_000_000, 1_000_000), repeat(10_100_000, 1_000_000)], vocab=6)
    assert speed.model_extra is not None
    assert speed.model_extra["noisy"] is False


def test_a_batch_counts_every_sequence() -> None:
    workload = WORKLOAD.model_copy(update={"batch": 2})
    ids = tuple(range(10))
    speed = speed_of(workload, "test", [repeat(10_000_000, 1_000_000, ids=ids)], vocab=10)
    assert speed.prefill == pytest.approx(200 / 0.010)
    assert speed.decode == pytest.approx(8 / 0.004)
    assert speed.throughput == Fraction(210 * 10**9, 14_000_000)


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": (1, 2, 3, 4, 6)},
        {"ids": (1, 2, 3, 4)},
        {"arrived_ns": (1, 2, 3, 4)},
        {"prompt_tokens": 99},
        {"arrived_ns": (5, 6, 4, 7, 8)},
        {"arrived_ns": (0, 1, 2, 3, 4)},
        {"arrived_ns": (9, 9, 9, 9, 9)},
    ],
)
def test_a_repeat_with_wrong_counts_times_or_ids_does_not_count(changed: dict[str, Any]) -> None:
    wrong = repeat(10_000_000, 1_000_000, **changed)
    speed = speed_of(WORKLOAD, "test", [wrong, repeat(20_000_000, 1_000_000)], vocab=6)
    assert speed.repeats_ns == [24_000_000]
    with pytest.raises(Unsupported, match="none of 1 repeats"):
        speed_of(WORKLOAD, "test", [wrong], vocab=6)


def test_of_a_long_repeat_the_longest_and_the_shortest_waits_are_kept() -> None:
    times = [0, *(1_000 * number for number in range(1, 500))]
    times[250:] = [at + 77_000 for at in times[250:]]  # one long wait
    times[100] -= 900  # a short one, and a longer one behind it
    long = Repeat(tuple(at + 5 for at in times), (0,) * 500, 1)
    kept = waits(long)
    assert len(kept) <= 2 * SHOWN
    assert kept == sorted(kept)
    assert {gap for _, gap in kept} == {1_000, 78_000, 100, 1_900}
    assert sum(gap == 78_000 for _, gap in kept) == 1
    assert waits(Repeat((5, 6, 8), (0,) * 3, 1)) == [(6, 1), (8, 2)]
