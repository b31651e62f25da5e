from __future__ import annotations

import pytest

from edgelm.measure.figures import duration, error, plain, rate, share, si


@pytest.mark.parametrize(("written", "expected"), [
    (si(45.1e9), "45.1 G"), (si(999_600), "1.00 M"), (si(12), "12.0"), (si(0), "0"), (si(20e9, 1), "20 G"),
    (si(0.5), "0.500"), (rate(1234.5), "1\u202f234"), (rate(19.51), "19.5"), (rate(0.0421), "0.0421"),
    (duration(124.4), "124 s"), (duration(3.2), "3.20 s"), (duration(0.0125), "12.5 ms"), (duration(8.4e-4), "840 µs"),
    (duration(5e-9), "5 ns"), (share(0.394), "39 %"), (share(1.02), "102 %"), (share(7.31), "7.3 times"),
    (error(-0.55), "−0.6 %"), (error(3.04), "+3.0 %"), (plain(0.1 + 0.2), "0.3"), (plain(float("inf")), "–"),
])  # fmt: skip
def test_how_figures_are_written(written: str, expected: str) -> None:
    assert written == expected
