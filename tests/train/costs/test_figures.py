import pytest

from edgelm.train.costs.figures import clock, short, size


@pytest.mark.parametrize(("number", "text"), [
    (0, "0"), (96, "96"), (999, "999"), (999.7, "1K"), (1000, "1K"), (524_288, "524K"), (999_600, "1M"),
    (2_500_000_000, "2.5B"), (27_000_000, "27M"), (0.25, "0.25"),
])  # fmt: skip
def test_tokens(number, text):
    assert short(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (2**20, "1 MiB"), (39.4 * 2**30, "39.4 GiB")]
)
def test_bytes(number, text):
    assert size(number) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0.0 s"), (41.2, "41 s"), (89.9, "90 s"), (90, "1.5 min"), (720, "12 min"), (2.7 * 3600, "2.7 h"),
    (5.2 * 86400, "5.2 days"),
])  # fmt: skip
def test_times(seconds, text):
    assert clock(seconds) == text
