"""What this machine is and the conditions it is in, as far as the operating system tells."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    import psutil
except ImportError:
    from edgelm.errors import MissingPackage

    raise MissingPackage("psutil", "model") from None

_NATIVE = {
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
}  # names of /proc/cpuinfo on x86 and ARM


def machine() -> dict[str, Any]:
    """Processor, cores, memory, operating system and versions."""
    return {
        "cpu": _cpu_fields().get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
    }


def conditions() -> dict[str, Any]:
    """What may disturb a measurement started now; what cannot be read is left out."""
    found: dict[str, Any] = {
        "load_average_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "memory_available_bytes": psutil.virtual_memory().available,
        "memory_limit_bytes": _group_limit(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "temperature_celsius": _hottest(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def computes_natively(dtype: str) -> bool:
    """Whether the processor has instructions that calculate in this 16-bit type; without them it is emulated slowly."""
    if sys.platform == "darwin":
        return dtype == "float16" and platform.machine() == "arm64"
    fields = _cpu_fields()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return bool(_NATIVE[dtype] & flags)


def _cpu_fields() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo."""
    text = _read(Path("/proc/cpuinfo")) or ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _group_limit() -> int | None:
    """The least that the control groups of this process allow it, in bytes; None if they set no limit."""
    groups = (_read(Path("/proc/self/cgroup")) or "").splitlines()
    own = next((line.removeprefix("0::") for line in groups if line.startswith("0::")), "")
    folder = Path("/sys/fs/cgroup") / own.lstrip("/")
    folders = [folder, *folder.parents]
    said = [_read(each / "memory.max") for each in folders if each.is_relative_to("/sys/fs/cgroup")]
    return min((int(text) for text in said if text and text.isdigit()), default=None)


def _hottest() -> float | None:
    read = getattr(psutil, "sensors_temperatures", None)  # Linux and FreeBSD
    readings = [sensor.current for group in read().values() for sensor in group if sensor.current] if read else []
    return max(readings, default=None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
