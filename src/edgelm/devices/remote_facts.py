"""What a remote device is, the conditions it is in, and its meter of memory, as far as it tells."""

from __future__ import annotations

from typing import Any

from edgelm.devices.transport import Link
from edgelm.native.runner import Runner

_ASK = """
say() {
  key=$1
  shift
  value=$("$@" 2> /dev/null | head -n 1 | tr -d '\\000')
  if [ -n "$value" ]; then echo "$key=$value"; fi
}
say architecture uname -m
say kernel uname -r
say cores nproc
say model cat /proc/device-tree/model
say maker getprop ro.product.manufacturer
say product getprop ro.product.model
say android getprop ro.build.version.release
say soc getprop ro.soc.model
say platform getprop ro.board.platform
say load cat /proc/loadavg
for word in MemTotal MemAvailable; do say $word grep "^$word:" /proc/meminfo; done
say cpu grep -m 1 -E "^(model name|Hardware)" /proc/cpuinfo
for file in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do say governor cat $file; done
for zone in /sys/class/thermal/thermal_zone*; do say "zone $(cat $zone/type 2> /dev/null)" cat $zone/temp; done
for supply in /sys/class/power_supply/*; do
  if [ "$(cat $supply/type 2> /dev/null)" = Battery ]; then
    say capacity cat $supply/capacity
    say status cat $supply/status
  fi
done
if command -v dumpsys > /dev/null; then
  dumpsys battery 2> /dev/null | sed -n '
    s/^ *level: */level=/p
    s/^ *\\([A-Z][A-Za-z]*\\) powered: true/plugged=\\1/p
    s/^ *temperature: */battery=/p'
  dumpsys power 2> /dev/null | sed -n 's/^ *mWakefulness=/screen=/p'
fi
:
"""


def facts(link: Link) -> tuple[dict[str, Any], dict[str, Any]]:
    """The machine, and the conditions now; what cannot be read is left out."""
    told: dict[str, list[str]] = {}
    for row in link.script(_ASK).splitlines():
        key, equals, value = row.partition("=")
        if equals:
            told.setdefault(key, []).append(value.strip())
    return machine(told), conditions(told)


def machine(told: dict[str, list[str]]) -> dict[str, Any]:
    """What the device is: the same names as `host.machine` has, and a phone's own."""
    maker, product = _first(told, "maker"), _first(told, "product")
    named = product if product.lower().startswith(maker.lower()) else f"{maker} {product}"
    found: dict[str, Any] = {
        "model": _first(told, "model") or named.strip(),
        "soc": _first(told, "soc") or _first(told, "platform"),
        "cpu": _first(told, "cpu").partition(":")[2].strip(),
        "architecture": _first(told, "architecture"),
        "cores": _number(_first(told, "cores")),
        "memory_bytes": _bytes(_first(told, "MemTotal")),
        "android": _first(told, "android"),
        "kernel": _first(told, "kernel"),
    }
    return {name: value for name, value in found.items() if value}


def conditions(told: dict[str, list[str]]) -> dict[str, Any]:
    """What may disturb a measurement; temperatures in °C."""
    zones = {key.removeprefix("zone").strip(): celsius for key, values in told.items() if key.startswith("zone ")
             for value in values if (celsius := _celsius(value)) is not None}  # fmt: skip
    battery = _number(_first(told, "battery"))
    found: dict[str, Any] = {
        "load_average_1min": _first(told, "load").partition(" ")[0],
        "cores_allowed": _number(_first(told, "cores")),
        "memory_available_bytes": _bytes(_first(told, "MemAvailable")),
        "governor": "+".join(sorted(set(told.get("governor", [])))),
        "temperature_celsius": max(zones.values(), default=None),
        "battery_percent": _number(_first(told, "level") or _first(told, "capacity")),
        "battery_celsius": battery / 10 if battery else None,
        "charging": _first(told, "plugged") or _first(told, "status"),
        "screen": _first(told, "screen").lower(),
    }
    if found["load_average_1min"]:
        found["load_average_1min"] = float(found["load_average_1min"])
    return {name: value for name, value in found.items() if value not in (None, "")}


def memory(runner: Runner) -> dict[str, int]:
    """The meter `phone`: most bytes that were resident in the program; `phone-pss`: its share of pages now."""
    read = runner.memory()
    return {meter: read[name] for meter, name in (("phone", "VmHWM"), ("phone-pss", "Pss")) if read.get(name)}


def _first(told: dict[str, list[str]], key: str) -> str:
    return told.get(key, [""])[0]


def _number(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None


def _bytes(text: str) -> int | None:
    """Of a row of /proc/meminfo: `MemTotal:  7812 kB`."""
    words = text.split()
    return int(words[1]) * 1024 if len(words) == 3 and words[1].isdigit() else None


def _celsius(text: str) -> float | None:
    """Zones tell thousandths of a degree, some whole degrees; one that is not wired tells nonsense."""
    value = _number(text)
    if value is None:
        return None
    degrees = value / 1000 if abs(value) >= 1000 else float(value)
    return degrees if 0 < degrees < 150 else None
