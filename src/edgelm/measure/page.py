"""A measurement as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

All of it comes from `report.json`, so that the page of any report can be made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from edgelm.measure.charts import charts
from edgelm.measure.figures import duration, error, rate, share, si
from edgelm.pages import environment
from edgelm.report import Report, Speed, median
from edgelm.train.costs.figures import size

PAGE = "measure.html"
METERS = {
    "host-peak": "most that was resident at once (VmHWM)",
    "host-pss": "proportional set size of the process and its children, sampled while loading and warming up",
    "host-cgroup": "what the control group took more than at the start, file cache included, sampled likewise",
    "phone": "most that was resident at once, read on the device (VmHWM)",
    "phone-pss": "proportional set size, read on the device",
    "allocator-peak": "most that tensors held at once",
    "device-process": "what the driver counts for the process, its own share included",
}
_CONDITIONS = {
    "load_average_1min": "Load, mean of a minute", "temperature_celsius": "Temperature, °C",
    "memory_available_bytes": "Memory that was free", "memory_limit_bytes": "Memory, at the most",
}  # fmt: skip
_SLOW_GOVERNORS = {"powersave", "conservative"}
_PARTS = {"weights": "Weights", "kv": "Keys and values", "activations": "Activations", "buffers": "Buffers",
          "loading": "File, while it is widened", "runtime": "Program"}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A piece of a bar: its share of the widest bar, in percent."""

    name: str
    bytes: int
    percent: float


def page(report: Report) -> str:
    """The page; equal input gives equal text.

    Raises:
        MissingPackage: jinja2 is not installed.
    """
    speed = report.speed
    found: dict[str, Any] = (speed.model_extra or {}) if speed else {}
    extra: dict[str, Any] = report.model_extra or {}
    widest = max([report.predicted.get("total", 0), *report.memory.values()], default=0) or 1
    template = environment(__file__, duration, error, size, rate, share, si, whole, titled, said).get_template(
        "page.html.jinja"
    )
    return template.render(
        report=report,
        speed=speed,
        rows=list(rows(speed)) if speed else [],
        cautions=list(cautions(speed)) if speed else [],
        charts=charts(report),
        prediction=extra.get("prediction"),
        parts=list(_parts(report, widest)),
        memory=[(meter, METERS.get(meter, ""), peak, 100 * peak / widest) for meter, peak in report.memory.items()],
        estimates=extra.get("estimates") or {},
        kit=found.get("kit-2024"),
        conditions=found.get("conditions") or {},
        settings=_settings(report, found),
    )


def first_token_seconds(speed: Speed) -> float:
    """Seconds until the first token, median over the repeats."""
    return float(median(Fraction(time, 10**9) for time in speed.first_token_ns))


def rows(speed: Speed) -> Iterator[tuple[str, str, str]]:
    """Figures as name, value and what it is of."""
    found: dict[str, Any] = speed.model_extra or {}
    shares = found.get("roofline") or {}
    yield "Throughput", f"{rate(float(speed.throughput))} tokens/s", "prompt and generated tokens, over the whole time"
    yield "Prefill", f"{rate(speed.prefill)} tokens/s", _share(shares, "prefill_share_of_matrix_rate", "matrix rate")
    yield "Decode", f"{rate(speed.decode)} tokens/s", _share(shares, "decode_share_of_copy_rate", "copy bandwidth")
    yield "First token after", duration(first_token_seconds(speed)), "median of the repeats"
    if "inter_token_median_ns" in found:
        yield ("Between tokens", duration(found["inter_token_median_ns"] / 1e9),
               f"median; 95 of 100 come within {duration(found['inter_token_p95_ns'] / 1e9)}")  # fmt: skip
    noisy = "; too much, measure again on a quieter machine" if found.get("noisy") else ""
    yield "Spread", f"{100 * speed.spread:.1f} %", f"slowest against fastest of {len(speed.repeats_ns)} repeats{noisy}"
    if kit := found.get("kit-2024"):
        of = f"the 2024 kit's figure: forward passes over {whole(kit['tokens'])} tokens, logits {kit['logits']}"
        yield "kit-2024", f"{kit['inferences_per_second']:.3g} inferences/s", of
        if "unsynchronised" in kit and kit["unsynchronised"] > 1.05 * kit["inferences_per_second"]:
            yield ("kit-2024, its own clock", f"{kit['unsynchronised']:.3g} inferences/s",
                   "read before the device had finished, as the kit's script does: not a speed")  # fmt: skip


def cautions(speed: Speed) -> Iterator[str]:
    """What speaks against the figures."""
    found: dict[str, Any] = speed.model_extra or {}
    work = speed.workload
    if found.get("noisy"):
        yield (f"Noisy: the slowest repeat took {100 * speed.spread:.0f} % of the median longer than the fastest. "
               "The figures are medians; measure again on a quieter machine.")  # fmt: skip
    if len(speed.repeats_ns) < work.repeats:
        yield f"{work.repeats - len(speed.repeats_ns)} of {work.repeats} repeats were not valid and do not count."
    conditions = found.get("conditions") or {}
    load, cores = conditions.get("load_average_1min"), conditions.get("cores_allowed")
    if load and cores and load > cores / 2:
        yield f"The machine was busy when it began: a load of {load:.1f} on {cores} cores."
    if not _SLOW_GOVERNORS.isdisjoint(str(conditions.get("governor")).split("+")):  # cores may have several
        yield f"The processor's governor was {conditions['governor']}."
    yield from found.get("notes") or []


def _share(shares: dict[str, float], name: str, of: str) -> str:
    return f"{share(shares[name])} of the {of} measured in the same run" if name in shares else ""


def _parts(report: Report, widest: int) -> Iterator[Part]:
    """The predicted parts that make up the total: the file, or what grows after it is closed, whichever is more."""
    parts = dict(report.predicted)
    if parts.get("loading", 0) > parts.get("kv", 0) + parts.get("activations", 0):
        parts |= {"kv": 0, "activations": 0}
    else:
        parts |= {"loading": 0}
    for name, title in _PARTS.items():
        if taken := parts.get(name, 0):
            yield Part(title, taken, 100 * taken / widest)


def _settings(report: Report, found: dict[str, Any]) -> list[tuple[str, str]]:
    """What the figures depend on."""
    speed, machine = report.speed, report.machine
    named = {
        "Device": speed.device if speed else None, "Processor": machine.get("cpu"), "GPU": machine.get("gpu"),
        "Model of the device": machine.get("model"), "Cores": machine.get("cores"), "System": machine.get("os"),
        "Memory": size(machine["memory_bytes"]) if machine.get("memory_bytes") else None,
        "Computed in": found.get("dtype"), "Engine": found.get("engine"), "torch": machine.get("torch"),
        "Bundle made by": (report.model_extra or {}).get("bundle"), "Checkpoint": report.checkpoint,
        "Text, sha256": found.get("prompt_sha256"),
    }  # fmt: skip
    return [(name, str(value)) for name, value in named.items() if value not in (None, "")]


# How values are written.


def whole(value: int) -> str:
    """A whole number with thin spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")


def titled(name: str) -> str:
    """The name of a condition as a person says it."""
    return _CONDITIONS.get(name, name.removesuffix("_bytes").replace("_", " ").capitalize())


def said(name: str, value: object) -> str:
    """A condition as a person says it."""
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
