"""Whether a free answer is the one expected, and which letter or code it holds."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+", re.ASCII)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_MOST_DIGITS = 300


def normalised(text: str) -> str:
    """Text without what seldom matters: width and case of letters, punctuation, articles, the number of blanks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    signed = re.sub(r"-(?=\d)", "−", folded)  # a minus is no punctuation
    plain = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in signed)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def last_number(text: str) -> Fraction | None:
    """The last number of a text, without the commas between its thousands."""
    found = _NUMBER.findall(text)
    digits = found[-1].replace(",", "") if found else ""
    return Fraction(digits) if digits and len(digits) <= _MOST_DIGITS else None


def last_option(text: str, options: str) -> str:
    """The last option letter that stands alone; empty if there is none."""
    found = re.findall(rf"(?<![A-Za-z])[{options}](?![A-Za-z])", text)
    return found[-1] if found else ""


def fenced(text: str) -> str:
    """The inside of the first code block between fences of three backticks; all of the text if it has none."""
    block = _FENCE.search(text)
    return block[1] if block else text
