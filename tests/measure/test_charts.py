from __future__ import annotations

import re
from typing import Any

import pytest

from edgelm.measure.charts import charts
from edgelm.report import Report, Speed, Workload

WORK = Workload(prompt_tokens=100, generated_tokens=201)
RATES = {
    "copy_bytes_per_second": 1e10, "matrix_operations_per_second": 1e11, "bytes_per_decoded_token": 5e7,
    "prefill_operations": 5e9, "decode_operations": 5e7, "prefill_bytes": 5e7, "decode_share_of_copy_rate": 0.5,
    "prefill_share_of_matrix_rate": 0.5,
}  # fmt: skip


def report(memory: dict[str, int] | None = None, total: int = 0, meter: str = "host-peak", **extra: Any) -> Report:
    """Decode at 100 and prefill at 1,000 tokens a second."""
    speed = Speed(workload=WORK, device="d", repeats_ns=[1], first_token_ns=[1], prefill=1000.0, decode=100.0,
                  spread=0.0, **extra)  # fmt: skip
    return Report(checkpoint="a", name="m", parameters=1, bytes=1, dtypes={}, speed=speed, memory=memory or {},
                  predicted={"total": total} if total else {}, prediction={"meter": meter})  # type: ignore[call-arg]  # fmt: skip


def test_the_longest_waits_may_leave_the_chart_and_are_told() -> None:
    waits = [(10**8 + 10**7 * number, 10**7) for number in range(200)]
    waits[150] = (waits[150][0], 10**9)
    (latency,) = charts(report(waits=[waits, waits[:100]]))
    assert latency.note == "Waits beyond the edge: 1, of up to 1.00 s."
    assert [name for _, name in latency.key] == ["repeat 1", "repeat 2"]
    assert latency.svg.count("<path") == 2


@pytest.mark.parametrize(("meter", "said"), [("host-peak", True), ("phone", False)])
def test_the_prediction_stands_beside_what_it_foretold_and_no_other(meter: str, said: bool) -> None:
    samples = [(10**9 * at, 2**30 + at) for at in range(10)]
    (memory,) = charts(report({"host-peak": 3 * 2**30}, 2**31, meter, memory_over_time=samples))
    assert memory.unit.startswith("GiB")
    assert "peak 3 GiB" in memory.svg
    assert ("predicted 2 GiB" in memory.svg) is said


def test_points_stand_as_far_below_the_roof_as_their_shares_say() -> None:
    (roofline,) = charts(report(roofline=RATES))
    places = re.findall(r'class="dot" x="([\d.]+)%" y="([\d.]+)%"', roofline.svg)
    (roof,) = re.findall(r'd="M([^"]+)"', roofline.svg)
    (left_x, left_y), (ridge_x, ridge_y), (_, top) = [map(float, point.split()) for point in roof.split("L")]
    (decode_x, decode_y), (prefill_x, prefill_y) = [(10 * float(x), 10 * float(y)) for x, y in places]
    slope = (ridge_y - left_y) / (ridge_x - left_x)
    on_the_slope = left_y + slope * (decode_x - left_x)
    assert prefill_x > ridge_x > decode_x
    assert decode_y - on_the_slope == pytest.approx(prefill_y - top, rel=0.02)  # both reach a half
    assert prefill_y > top


def test_charts_that_lack_their_figures_are_left_out() -> None:
    assert charts(report(waits=[], memory_over_time=[(0, 1)], roofline={"copy_bytes_per_second": 1.0})) == []
    assert charts(report().model_copy(update={"speed": None})) == []
