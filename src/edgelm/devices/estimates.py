"""What a model would reach on a phone that is not at hand, from the phone's profile; and profiles from measured pairs.

A token takes as long as its bytes take to be read, a prompt as long as its operations take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgelm.devices.model_file import Stored
from edgelm.devices.phones import Pair, Profile
from edgelm.devices.prediction import bytes_per_token_of, predict_bundle, prefill_operations
from edgelm.errors import BadOption
from edgelm.report import Report, Speed, Workload
from edgelm.shapes import Shape


class Estimate(BaseModel):
    """Figures for one sequence of the workload; none of them was measured."""

    model_config = ConfigDict(frozen=True)

    title: str
    basis: Literal["estimate", "estimate, calibrated"]
    decode: float  # tokens a second
    prefill: float
    first_token_seconds: float
    seconds: float  # of the whole workload
    throughput: float  # prompt and generated tokens a second
    memory: int  # bytes
    usable: int
    fits: bool
    source: str


@dataclass(frozen=True)
class Demands:
    """What a workload asks of a device."""

    read: int  # bytes for each token made
    operations: int  # of the prompt
    memory: int  # bytes of the runner

    @classmethod
    def of(cls, shape: Shape, stored: Stored, workload: Workload) -> Demands:
        """Those of a shape whose weights are stored so."""
        one = workload.model_copy(update={"batch": 1})
        context = workload.prompt_tokens + workload.generated_tokens
        return cls(bytes_per_token_of(shape, stored, one), prefill_operations(shape, one),
                   predict_bundle(shape, stored, context)["total"])  # fmt: skip


def estimate(profile: Profile, demands: Demands, workload: Workload) -> Estimate:
    """The figures that a profile gives for a workload."""
    decode = profile.bandwidth * profile.decode_factor / demands.read
    first = demands.operations / (profile.matrix_rate * profile.prefill_factor)
    seconds = first + (workload.generated_tokens - 1) / decode
    memory = round(demands.memory * profile.memory_factor)
    return Estimate(
        title=profile.title,
        basis="estimate, calibrated" if profile.pairs else "estimate",
        decode=decode,
        prefill=workload.prompt_tokens / first,
        first_token_seconds=first,
        seconds=seconds,
        throughput=(workload.prompt_tokens + workload.generated_tokens) / seconds,
        memory=memory,
        usable=profile.usable,
        fits=memory < profile.usable,
        source=profile.source,
    )


def calibrated(profile: Profile | None, there: Report, here: Report, shape: Shape, stored: Stored) -> Profile:
    """A profile corrected by one model's reports from the device (`there`) and from another machine (`here`).

    Without a profile one is made of what was measured there.

    Raises:
        BadOption: the reports are of different models, one has no speed, or nothing says what the device's memory is.
    """
    if there.checkpoint != here.checkpoint:
        raise BadOption(f"a pair needs one model, not {there.name} and {here.name}",
                        why=f"digests {there.checkpoint[:12]} and {here.checkpoint[:12]}",
                        mend="measure the same bundle on both")  # fmt: skip
    speed = pair_speed(there)
    demands = Demands.of(shape, stored, speed.workload)
    bandwidth = speed.decode * demands.read
    rate = speed.prefill / speed.workload.prompt_tokens * demands.operations
    if profile is None:
        profile = _made(there, speed, bandwidth, rate)
    peak = there.memory.get("phone") or there.memory.get("host-peak")
    return profile.corrected(Pair(
        model=there.name, checkpoint=there.checkpoint, device=speed.device, decode=speed.decode, prefill=speed.prefill,
        here=here.speed.device if here.speed else "", decode_here=here.speed.decode if here.speed else 0,
        prefill_here=here.speed.prefill if here.speed else 0,
        decode_factor=bandwidth / profile.bandwidth, prefill_factor=rate / profile.matrix_rate,
        memory_factor=peak / demands.memory if peak and "engine" in (speed.model_extra or {}) else 1.0,
    ))  # fmt: skip


def pair_speed(report: Report) -> Speed:
    """The speed in a report that can be calibrated with.

    Raises:
        BadOption: it has none, or is of several sequences at once.
    """
    if report.speed is None:
        raise BadOption(f"the report of {report.name} has no speed", mend="give the report of a measurement")
    if report.speed.workload.batch != 1:
        raise BadOption(f"the report of {report.name} is of {report.speed.workload.batch} sequences at once",
                        mend="calibrate with one sequence")  # fmt: skip
    return report.speed


def _made(there: Report, speed: Speed, bandwidth: float, rate: float) -> Profile:
    machine: dict[str, Any] = there.machine
    memory = machine.get("memory_bytes")
    if not isinstance(memory, int) or memory <= 0:
        raise BadOption(f"the report from {speed.device} does not say how much memory that has",
                        mend="name a profile that is known (--profile): edgelm measure --help")  # fmt: skip
    name = machine.get("model") or machine.get("cpu") or speed.device
    return Profile(
        title=str(name), dram="not known", memory=memory, usable=memory * 9 // 16, bandwidth=bandwidth,
        matrix_rate=rate, source=f"measured: {there.name} on {speed.device}; usable memory is 9/16 of what it has",
        basis="measured",
    )  # fmt: skip
