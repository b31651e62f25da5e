"""How the figures of a measurement are written for people."""

from __future__ import annotations

import math


def si(value: float, digits: int = 3) -> str:
    """A number with a letter for its thousands: 45.1 G, 980 M, 3.2 k, 12."""
    for unit, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= unit * (1 - 0.5 / 10**digits):
            return _digits(value / unit, digits) + letter
    return _digits(value, digits)


def rate(value: float) -> str:
    """Tokens a second: three digits, thousands apart."""
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 1000 else _digits(value, 3)


def duration(seconds: float) -> str:
    """A time to three digits: 840 µs, 12.5 ms, 3.20 s, 124 s."""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{_digits(seconds / unit, 3)} {name}"
    return f"{seconds * 1e9:.0f} ns"


def share(value: float) -> str:
    """A share in percent, or times where it is above two."""
    return f"{100 * value:.0f} %" if value < 2 else f"{value:.1f} times"


def error(percent: float) -> str:
    """A deviation in percent with its sign."""
    return f"{'+' if percent >= 0 else '−'}{abs(percent):.1f} %"


def plain(value: float) -> str:
    """A round number without noughts that say nothing."""
    return f"{value:.6g}" if math.isfinite(value) else "–"


def _digits(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded)) + 1e-9))
    return f"{value:.{places}f}"
