"""What is shown beside throughput."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from edgelm.report import Report
from edgelm.score.beside import beside

MS = 10**6


def report(**speed: Any) -> Report:
    said = {"workload": {"prompt_tokens": 100, "generated_tokens": 51, "repeats": 3}, "device": "local", "prefill": 7.0,
            "decode": 7.0, "spread": 7.0, "repeats_ns": [300 * MS, 500 * MS, 400 * MS],
            "first_token_ns": [100 * MS, 200 * MS, 200 * MS]}  # fmt: skip
    return Report.model_validate({
        "checkpoint": "0" * 64, "name": "one", "parameters": 1, "bytes": 2, "dtypes": {}, "made_by": "edgelm",
        "memory": {"host-peak": 5, "host-pss": 4}, "speed": said | speed,
    })  # fmt: skip


def test_times_are_those_of_the_repeats_and_not_the_reports_own_figures() -> None:
    found = beside(report())
    assert (found.prefill, found.decode, found.first_token_ns) == (500, 250, 200 * MS)
    assert found.spread == Fraction(1, 2)
    assert found.memory == {"host-peak": 5, "host-pss": 4}
    assert found.kit_2024 is None and found.bytes_per_token is None


def test_what_only_the_report_knows_is_taken_from_it() -> None:
    found = beside(report(**{"kit-2024": {"inferences_per_second": 2.5}, "bytes_per_token": 4.1234567}))
    assert found.kit_2024 == Fraction(5, 2)
    assert found.bytes_per_token == Fraction("4.12346")


@pytest.mark.parametrize("value", ["2.5", None, True, -1.0, [], {}, 10**4300 - 1])
def test_a_figure_that_is_none_is_left_out(value: object) -> None:
    found = beside(report(**{"kit-2024": {"inferences_per_second": value}, "bytes_per_token": value}))
    assert found.kit_2024 is None and found.bytes_per_token is None


def test_without_a_measurement_there_are_only_peaks() -> None:
    found = beside(report().model_copy(update={"speed": None}))
    assert found.decode is None and found.memory["host-peak"] == 5
