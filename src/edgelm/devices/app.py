"""What the Android app measured by itself, from the `measure.json` that it leaves beside the weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint, validate
from edgelm.devices.base import Measurement, Progress
from edgelm.devices.bundled import positions, require_bundle_runnable, roofline_of
from edgelm.devices.model_file import read_stored
from edgelm.devices.prediction import predict_bundle
from edgelm.devices.prompt import SHA256
from edgelm.devices.timing import Repeat, speed_of
from edgelm.errors import BadOption
from edgelm.files import parse_json, read_bytes
from edgelm.native.runner import Rates, Ready
from edgelm.report import Workload

_LONGEST = 64 << 20  # bytes of such a file


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Repeat(_Part):
    arrived_ns: tuple[int, ...]
    ids: tuple[int, ...]
    prompt_tokens: int


class _Rates(Rates):
    copy_bytes_per_second: float = Field(gt=0)
    read_bytes_per_second: float = Field(gt=0)
    matrix_operations_per_second: float = Field(gt=0)


class _Memory(_Part):
    phone: int = Field(gt=0)  # bytes


class _Battery(_Part):
    temperature: int | None = None  # tenths of a degree
    level: int | None = None  # percent
    plugged: int | None = None  # 0: no


class _Free(_Part):
    total: int | None = None  # bytes
    available: int | None = None


class _Facts(_Part):
    """What the phone said of itself at one moment."""

    maker: str = ""
    model: str = ""
    hardware: str = ""
    android: str = ""
    cores: int | None = None
    thermal: int | None = None  # Android's status, 0 (none) to 6 (shutdown)
    power_save: bool = False
    memory: _Free = _Free()
    battery: _Battery = _Battery()


class _Phone(_Part):
    before: _Facts
    after: _Facts


class Kept(_Part):
    """The file, as far as it is needed; the app's own figures are not: they are computed anew."""

    checkpoint: str
    workload: Workload
    repeats: list[_Repeat]
    memory: _Memory
    rates: _Rates
    runner: Ready
    phone: _Phone

    @model_validator(mode="after")
    def _all_repeats(self) -> Kept:
        if len(self.repeats) != self.workload.repeats:  # else the best of many could be kept
            raise ValueError(f"{len(self.repeats)} repeats of a workload of {self.workload.repeats}")
        return self


def read_kept(file: str) -> Kept:
    """What a `measure.json` holds.

    Raises:
        MissingInput, BadFile: it is not there, or is none of the app's.
    """
    return validate(Kept, parse_json(read_bytes(Path(file), _LONGEST), file), file)


@dataclasses.dataclass(frozen=True)
class App:
    """Nothing runs here: the repeats in the file are judged, and figures computed of them, as if they had just run."""

    POSITIONAL: ClassVar[str] = "file"

    file: str  # measure.json, as `adb pull` fetched it

    @property
    def workload(self) -> Workload:
        """What the app ran, which is all that can be asked for.

        Raises:
            MissingInput, BadFile: the file is not there, or is none of the app's.
        """
        return read_kept(self.file).workload

    def measure(self, model: Checkpoint | Bundle, workload: Workload, progress: Progress) -> Measurement:
        """The figures of the app's repeats.

        Raises:
            MissingInput, BadFile: the file is not there, or is none of the app's.
            BadOption: it is of another checkpoint, or of another workload than is asked for.
            Unsupported: none of its repeats is valid.
        """
        if not isinstance(model, Bundle):
            raise BadOption(f"{model.path} is a checkpoint", why="the app runs bundles",
                            mend="give the bundle that was installed on the phone")  # fmt: skip
        require_bundle_runnable(model, workload)
        kept = read_kept(self.file)
        self._require_same(kept, model, workload)
        stored = read_stored(model.model)
        repeats = [Repeat(each.arrived_ns, each.ids, each.prompt_tokens) for each in kept.repeats]
        name = f"app:{kept.phone.before.model or 'phone'}"
        speed = speed_of(
            workload, name, repeats, model.shape.vocab, conditions=_conditions(kept), load_ns=kept.runner.load_ns,
            dtype=next(iter(stored.values), ""), prompt_sha256=SHA256,
            engine=f"runner {kept.runner.runner}, llama.cpp {kept.runner.llama_cpp}",
        )  # fmt: skip
        speed = speed.model_copy(update={"roofline": roofline_of(kept.rates, model, stored, speed)})
        return Measurement(
            speed=speed, memory={"phone": kept.memory.phone}, machine=_machine(kept.phone.before),
            predicted=predict_bundle(model.shape, stored, positions(workload)),
        )  # fmt: skip

    def _require_same(self, kept: Kept, model: Bundle, workload: Workload) -> None:
        if kept.checkpoint != model.listing.checkpoint:
            own = model.listing.checkpoint
            raise BadOption(f"{self.file} is of another model than {model.path}",
                            why=f"it was made of checkpoint {kept.checkpoint[:12]}, not {own[:12]}",
                            mend="give the bundle that was installed on the phone")  # fmt: skip
        if kept.workload != workload:
            raise BadOption(f"{self.file} is of another workload than the one asked for",
                            why=f"the phone ran {_told(kept.workload)}; asked for are {_told(workload)}",
                            mend="leave --rules and the options of the workload away")  # fmt: skip


def _told(workload: Workload) -> str:
    return (f"{workload.prompt_tokens} + {workload.generated_tokens} tokens, batch {workload.batch}, "
            f"{workload.repeats} repeats")  # fmt: skip


def _machine(phone: _Facts) -> dict[str, Any]:
    named = phone.model if phone.model.lower().startswith(phone.maker.lower()) else f"{phone.maker} {phone.model}"
    found = {"model": named.strip(), "soc": phone.hardware, "android": phone.android, "cores": phone.cores,
             "memory_bytes": phone.memory.total}  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _conditions(kept: Kept) -> dict[str, Any]:
    """What may have disturbed the repeats, under the names that a phone behind adb has; heat also afterwards."""
    before, after = kept.phone.before, kept.phone.after
    found = {
        "threads": kept.runner.threads, "memory_available_bytes": before.memory.available,
        "battery_percent": before.battery.level, "battery_celsius": _degrees(before),
        "battery_celsius_after": _degrees(after), "thermal_status": before.thermal,
        "thermal_status_after": after.thermal, "power_save": before.power_save or None,
        "charging": str(before.battery.plugged) if before.battery.plugged else None,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _degrees(phone: _Facts) -> float | None:
    return phone.battery.temperature / 10 if phone.battery.temperature and phone.battery.temperature > 0 else None
