"""How figures are written for people: two decimals, true minus signs, sizes in binary units."""

from __future__ import annotations

from fractions import Fraction

from edgelm.score.exact import decimals, round_significant

GIB, MIB, KIB = 2**30, 2**20, 2**10


def two(value: Fraction | None) -> str:
    """Two decimals, or a dash for what is missing."""
    return "–" if value is None else decimals(value)


def exact(value: Fraction) -> str:
    """The exact value where two decimals do not say it; else nothing."""
    return "" if (value * 100).denominator == 1 else str(value)


def significant(value: Fraction | None) -> str:
    """A figure of three significant digits with all three shown, or a dash: 1460, 54.7, 30.0."""
    if not value:
        return "–" if value is None else "0"
    places = 0
    while value * 10**places < 100:
        places += 1
    return decimals(value, places)


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 4th, … 11th, … 21st."""
    suffix = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{suffix}"


def size(number: int | None) -> str:
    """Bytes in the largest binary unit that they fill, or a dash: 12.00 GiB, 1.50 MiB, 7 B."""
    if number is None:
        return "–"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if number >= unit:
            return f"{decimals(Fraction(number, unit))} {name}"
    return f"{number} B"


def count(number: int) -> str:
    """A number of parameters, in billions, millions or thousands."""
    for unit, name in ((10**9, " B"), (10**6, " M"), (10**3, " K")):
        if number >= unit:
            return decimals(Fraction(number, unit)) + name
    return str(number)


def signed(value: Fraction | None) -> str:
    """A difference with its sign, to two decimals."""
    if value is None:
        return "–"
    text = decimals(abs(value))
    return text if text == "0.00" else ("+" if value > 0 else "−") + text


def times(ratio: Fraction | None) -> str:
    """A ratio to the reference: 0.52×."""
    return "–" if ratio is None else f"{decimals(ratio)}×"


def milliseconds(nanoseconds: int | None) -> str:
    """A time in milliseconds of three significant digits, or a dash: 41.3 ms."""
    return "–" if nanoseconds is None else f"{significant(round_significant(Fraction(nanoseconds, 10**6)))} ms"


def percent(share: Fraction | None) -> str:
    """A share in percent to one decimal, or a dash: 3.4 %."""
    return "–" if share is None else f"{decimals(100 * share, 1)} %"
