"""How the figures of training are written for people."""

from __future__ import annotations


def short(number: float) -> str:
    """A number of tokens, to three digits, as an option may have it: 2.5B, 524K, 96."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(number) >= 0.9995 * unit:
            return f"{_three(number / unit)}{name}"
    return _three(number)


def size(number: float) -> str:
    """Bytes, to three digits, in the largest binary unit that they fill."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{_three(number / unit)} {name}"
    return f"{number:.0f} B"


def clock(seconds: float) -> str:
    """A time: 41 s, 12 min, 2.7 h, 5.2 days."""
    for most, unit, name in ((90, 1, "s"), (5400, 60, "min"), (72 * 3600, 3600, "h")):
        if seconds < most:
            value = seconds / unit
            return f"{value:.1f} {name}" if name == "h" or value < 10 else f"{value:.0f} {name}"
    return f"{seconds / 86400:.1f} days"


def _three(value: float) -> str:
    """Three digits, without the noughts that say nothing."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
