"""How the settings of an engine and the conditions of a sandbox are written for people."""

from __future__ import annotations

from typing import Any

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
BYTES = ("memory", "disk")  # the facts whose numbers are bytes


def fact(name: str, value: Any) -> str:
    """A fact's value: lists with commas, bytes in their unit, yes or no; a dash for nothing."""
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return size(value) if name in BYTES and isinstance(value, int) else str(value)


def size(value: int) -> str:
    """Bytes in the largest binary unit that they fill."""
    unit, name = next(((unit, name) for unit, name in UNITS if value >= unit), (1, "B"))
    return f"{value / unit:.2f} {name}" if unit > 1 else f"{value} {name}"
