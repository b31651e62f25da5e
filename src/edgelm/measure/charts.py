"""The charts of a measurement: waits for tokens, memory over time, and the roofline."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from edgelm.measure.figures import duration, plain, share, si
from edgelm.measure.plot import Axis, Dot, Level, Line, chart
from edgelm.report import Report, Speed
from edgelm.train.costs.figures import size

_INKS = ("accent", "reference", "good", "bad", "muted")
_LATE = 0.99  # share of the waits that a chart must show; longer ones may leave it
_ROOM = 1.15


@dataclass(frozen=True)
class Chart:
    """A chart of the page."""

    title: str
    unit: str
    svg: str
    note: str = ""
    key: tuple[tuple[str, str], ...] = ()  # ink and name


def charts(report: Report) -> list[Chart]:
    """Those that the report holds enough for."""
    speed = report.speed
    if speed is None:
        return []
    found: dict[str, Any] = speed.model_extra or {}
    made = [_waits(found.get("waits") or []), _memory(found.get("memory_over_time") or [], report),
            _roofline(found.get("roofline") or {}, speed)]  # fmt: skip
    return [each for each in made if each]


def _waits(repeats: list[list[tuple[int, int]]]) -> Chart | None:
    """Milliseconds that each token was waited for, over the seconds since the question, a line a repeat."""
    points = [[(at / 1e9, gap / 1e6) for at, gap in repeat] for repeat in repeats if len(repeat) > 1]
    if not points:
        return None
    lasted = max(repeat[-1][0] for repeat in points)
    gaps = sorted(gap for repeat in points for _, gap in repeat)
    top = gaps[math.ceil(_LATE * len(gaps)) - 1]
    outside = [gap for gap in gaps if gap > top * _ROOM]
    longest = duration(max(outside) / 1e3) if outside else ""
    note = f"Waits beyond the edge: {len(outside)}, of up to {longest}." if outside else ""
    lines = [Line(f"repeat {number}", repeat, _INKS[(number - 1) % len(_INKS)])
             for number, repeat in enumerate(points, start=1)]  # fmt: skip
    svg = chart(
        f"Waits for tokens, from {gaps[0]:.3g} to {gaps[-1]:.3g} ms, over {lasted:.3g} s in {len(points)} repeats",
        Axis(0, lasted, plain), Axis(0, top * _ROOM or 1, plain), lines=lines,
    )  # fmt: skip
    return Chart("Latency per token", "milliseconds, over seconds since the question", svg, note,
                 tuple((line.ink, line.name) for line in lines) if len(lines) <= len(_INKS) else ())  # fmt: skip


def _memory(samples: list[tuple[int, int]], report: Report) -> Chart | None:
    """Memory while the model is loaded and warms up, with the prediction and the peak."""
    points = [(at / 1e9, taken) for at, taken in samples]
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return None
    peak = report.memory.get("host-peak")
    host = (report.model_extra or {}).get("prediction", {}).get("meter") == "host-peak"
    predicted = report.predicted.get("total") if host else None
    highest = max(taken for _, taken in points)
    values = [highest, *(value for value in (peak, predicted) if value)]
    levels = []
    if peak:
        levels.append(Level(f"peak {size(peak)}", peak, "accent", below=bool(predicted and predicted > peak)))
    if predicted:
        levels.append(Level(f"predicted {size(predicted)}", predicted, below=bool(peak and predicted <= peak)))
    unit, name = (2**30, "GiB") if max(values) >= 2**30 else (2**20, "MiB")
    levels = [replace(level, value=level.value / unit) for level in levels]
    svg = chart(
        f"Memory of the process, up to {size(highest)}, over {points[-1][0]:.3g} s",
        Axis(0, points[-1][0], plain), Axis(0, max(values) / unit * _ROOM, plain),
        lines=[Line("proportional set size", [(at, taken / unit) for at, taken in points])], levels=levels,
    )  # fmt: skip
    note = "The line samples the proportional set size; the peak is the highest resident size of the whole run."
    return Chart("Memory", f"{name} while loading and warming up, over seconds", svg, note)


def _roofline(rates: dict[str, float], speed: Speed) -> Chart | None:
    """Operations a second over operations a byte: the machine's roof, and where decoding and reading a prompt stand."""
    needed = ("copy_bytes_per_second", "matrix_operations_per_second", "bytes_per_decoded_token", "prefill_operations",
              "decode_operations", "prefill_bytes")  # fmt: skip
    if any(not rates.get(name) for name in needed):
        return None
    bandwidth, top = rates["copy_bytes_per_second"], rates["matrix_operations_per_second"]
    work = speed.workload
    decode = (rates["decode_operations"] / rates["bytes_per_decoded_token"],
              speed.decode / work.batch * rates["decode_operations"])  # fmt: skip
    prefill = (rates["prefill_operations"] / rates["prefill_bytes"],
               speed.prefill / (work.prompt_tokens * work.batch) * rates["prefill_operations"])  # fmt: skip
    ridge = top / bandwidth
    left, right = min(decode[0], prefill[0], ridge) / 3, max(decode[0], prefill[0], ridge) * 3
    low, high = min(decode[1], prefill[1], left * bandwidth) / 2, max(decode[1], prefill[1], top) * 2
    roof = Line("roof", [(left, left * bandwidth), (ridge, top), (right, top)], "muted")
    reached = [share(rates[name]) for name in ("decode_share_of_copy_rate", "prefill_share_of_matrix_rate")]
    dots = [
        _placed("decode", decode, reached[0], right, left),
        _placed("prefill", prefill, reached[1], right, left),
    ]
    svg = chart(
        f"Roofline: copies of {si(bandwidth)}B/s, products of {si(top)}FLOP/s; decode reaches {reached[0]} of the one, "
        f"prefill {reached[1]} of the other",
        Axis(left, right, plain, logarithmic=True), Axis(low, high, _power, logarithmic=True), lines=[roof], dots=dots,
    )  # fmt: skip
    note = (f"The slope is what copying reaches here, {si(bandwidth)}B/s read and written; the flat part is what a "
            f"matrix product reaches, {si(top)}FLOP/s. Both were measured in the same run.")  # fmt: skip
    return Chart("Roofline", "operations a second, over operations a byte", svg, note)


def _power(value: float) -> str:
    """A round number with a letter for its thousands: 20 G."""
    return si(value, 1)


def _placed(name: str, at: tuple[float, float], reached: str, right: float, left: float) -> Dot:
    middle = math.sqrt(left * right)
    said = f"{name}: {si(at[1])}FLOP/s at {at[0]:.3g} operations a byte, {reached} of the roof"
    return Dot(f"{name} {reached}", *at, said, "accent" if name == "decode" else "reference",
               "left" if at[0] > middle else "right")  # fmt: skip
