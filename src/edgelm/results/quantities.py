"""Numbers with units in the cells of a table: `8.755 GB`, `17,3 %`, `71.61 inf/s 0.014 s`."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SECONDS = "s"
INFERENCES = "inferences/s"
_UNITS = {
    **{name.casefold(): name for name in BYTES}, "byte": "B", "bytes": "B", "m": "MB", "g": "GB",
    "%": "%", "percent": "%", "pct": "%", "s": SECONDS, "sec": SECONDS, "second": SECONDS, "seconds": SECONDS,
    **{f"{word}/{time}": unit for words, unit in ((("token", "tokens", "tok", "toks", "t"), "tokens/s"),
                                                  (("inf", "inference", "inferences", "infs"), INFERENCES))
       for word in words for time in ("s", "sec", "second")},
    "tps": "tokens/s",
}  # fmt: skip
_PLAIN = re.compile(r"\d{1,30}(\.\d{1,30})?", re.ASCII)  # as the canonical form writes numbers
_EXPONENT = r"(?:[eE](?P<exponent>[+-]?\d{1,2})(?![\d.]))?"
_POINT = rf"[+-]?(?:\d{{1,3}}(?:,\d{{3}})+\.\d{{1,30}}|\d{{1,30}}(?:\.\d{{0,30}})?|\.\d{{1,30}}){_EXPONENT}"
_COMMA = rf"[+-]?(?:\d{{1,3}}(?:\.\d{{3}})+,\d{{1,30}}|\d{{1,30}}(?:[.,]\d{{0,30}})?|[.,]\d{{1,30}}){_EXPONENT}"
_UNIT = r"\s*(?P<unit>%|[A-Za-z]{1,12}(?:(?:\s?/\s?|\sper\s)[A-Za-z]{1,12})?)?"
_PAIRS = {False: re.compile(f"(?P<number>{_POINT}){_UNIT}", re.ASCII),
          True: re.compile(f"(?P<number>{_COMMA}){_UNIT}", re.ASCII)}  # fmt: skip  # by whether commas are decimal
_BETWEEN = re.compile(r"\s*[;|/]\s*|,\s+|\s+")
_SIGNS = str.maketrans({"−": "-", "(": " ", ")": " ", "[": " ", "]": " ", "*": " "})  # what stands around numbers
_LONGEST, _MOST = 200, 4  # characters of a cell that can hold quantities, and how many of them
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity|∞|#num!|#div/0!)\s*%?", re.IGNORECASE)
_PLACEHOLDERS = {"-", "--", "—", "–", "n/a", "na", "n.a.", "none", "null", "nil", "tbd", "todo", "?", "x", "/", "…"}


class Quantity(NamedTuple):
    """A number as written, half a unit of its last decimal, and its unit, empty if none is given."""

    value: Fraction
    half: Fraction
    unit: str


def unit_of(text: str) -> str:
    """The unit that a text names, empty if it names none."""
    return _UNITS.get(re.sub(r"\s+per\s+", "/", text.strip().casefold()).replace(" ", ""), "")


def quantities(cell: str, *, decimal_comma: bool = False) -> list[Quantity]:
    """All quantities of a cell; none if anything in it is not understood. Of several each needs its unit."""
    text = unicodedata.normalize("NFKC", cell) if len(cell) <= _LONGEST else ""
    text = text.translate(_SIGNS).strip()
    found: list[Quantity] = []
    place = 0
    while place < len(text):
        pair = _PAIRS[decimal_comma].match(text, place)
        unit = unit_of(pair["unit"] or "") if pair else ""
        if pair is None or (pair["unit"] and not unit) or len(found) == _MOST:
            return []
        found.append(Quantity(*_number(pair["number"], pair["exponent"], decimal_comma), unit))
        place = pair.end()
        if place < len(text):
            gap = _BETWEEN.match(text, place)
            if gap is None:
                return []
            place = gap.end()
    return found if len(found) < 2 or all(one.unit for one in found) else []


def _number(text: str, exponent: str | None, decimal_comma: bool) -> tuple[Fraction, Fraction]:
    text = re.split("[eE]", text)[0]
    if "," in text:
        thousands, point = (".", ",") if decimal_comma else (",", ".")
        text = text.replace(thousands, "").replace(point, ".")
    scale = Fraction(10) ** int(exponent or 0)
    decimals = len(text.partition(".")[2])
    return Fraction(text.rstrip(".")) * scale, scale / (2 * 10**decimals)


def is_plain(cell: str) -> bool:
    """Whether a cell is a number as the canonical form writes it."""
    return bool(_PLAIN.fullmatch(cell))


def is_no_number(cell: str) -> bool:
    """Whether a cell holds NaN or an infinity."""
    return bool(_NO_NUMBER.fullmatch(cell.strip()))


def is_placeholder(cell: str) -> bool:
    """Whether a cell says that there is no figure."""
    return cell.strip().casefold() in _PLACEHOLDERS
