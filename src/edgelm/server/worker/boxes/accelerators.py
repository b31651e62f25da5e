"""The device files of the accelerators that this worker was assigned, and what their libraries read of /sys."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgelm.errors import Unsupported

_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")  # of all cards; no card can be used by them alone
_MEND = "name cards by number, such as CUDA_VISIBLE_DEVICES=0; or name device files by --see"


def nvidia(dev: Path = Path("/dev"), proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Device files of the cards in CUDA_VISIBLE_DEVICES: all cards where it is not set, none where it is empty.

    Raises:
        Unsupported: it names cards otherwise than by number, or one that is not there.
    """
    cards = {path.name[6:]: path for path in dev.glob("nvidia*") if path.name[6:].isdigit()}
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    minors = _minors(proc / "driver/nvidia/gpus")
    found = [] if chosen is not None else [str(cards[minor]) for minor in sorted(cards)]
    for number in (each.strip() for each in (chosen or "").split(",") if each.strip()):
        card = cards.get(str(minors[int(number)]) if number.isdigit() and int(number) < len(minors) else number)
        if card is None:
            raise Unsupported(f"CUDA_VISIBLE_DEVICES names {number}, which is no card here", mend=_MEND)
        found.append(str(card))
    return (*found, *(str(dev / name) for name in _SHARED if (dev / name).exists())) if found else ()


def system_facts(devices: tuple[str, ...]) -> tuple[str, ...]:
    """What of /sys the libraries of these devices read: how processors and memory lie, and the cards' buses."""
    if not any("/nvidia" in device for device in devices):
        return ()
    return tuple(name for name in ("/sys/devices/system", "/sys/bus/pci", "/sys/module/nvidia") if Path(name).exists())


def variables(devices: tuple[str, ...]) -> dict[str, str]:
    """What a process that sees these devices alone is told: it counts them from 0."""
    cards = [device for device in devices if re.fullmatch(r"/dev/nvidia\d+", device)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(len(cards))))} if cards else {}


def _minors(gpus: Path) -> list[int]:
    """The number in the name of each card's device file, in the order of their buses, as CUDA counts by PCI_BUS_ID."""
    texts = [(path / "information").read_text() for path in sorted(gpus.glob("*")) if (path / "information").exists()]
    return [int(match[1]) for text in texts if (match := re.search(r"Device Minor:\s*(\d+)", text))]
