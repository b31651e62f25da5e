"""What the headers of results files mean: folded names, then one table of aliases."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from edgelm.results.quantities import unit_of
from edgelm.submission import COLUMNS, HEADER, MEMORY, THROUGHPUT

MODEL = HEADER[0]
_ALIASES = {
    MODEL: ("model", "models", "modelname", "prunedmodel", "compressedmodel", "slot", "name"),
    COLUMNS["commonsenseqa"]: ("csqa", "commonsense"),
    COLUMNS["bbh"]: ("bbh", "bigbenchhardbbh", "bbhbigbenchhard"),
    COLUMNS["gsm8k"]: ("gsm8", "gsm"),
    COLUMNS["longbench"]: (),
    COLUMNS["humaneval"]: ("openaihumaneval", "humanevalpass@1"),
    COLUMNS["chid"]: ("fewchid", "fewcluechid", "chidtest", "cluechid"),
    COLUMNS["truthfulqa"]: ("truthfulqableuacc", "bleuacc"),
    THROUGHPUT: ("tps", "tokenspersecond", "tokens/s", "speed", "inferencethroughput"),
    MEMORY: ("memory", "gpumemory", "gpumemoryusage", "peakmemory", "peakmemoryusage", "peakgpumemory",
             "peakgpumemoryusage", "maxmemory", "vram"),
}  # fmt: skip
_IN_HEADER = {"tps": "tokens/s", "tokenspersecond": "tokens/s", "tokens/s": "tokens/s"}  # names that say their unit
# OpenCompass's names of settings: commonsenseqa_7shot_cot_gen_734a22.
_SETTING = re.compile(r"(\d{1,2}shot)?(cot)?gen([0-9a-f]{6})?$")
_BRACKETS = re.compile(r"[(\[]([^()\[\]]{0,40})[)\]]")
_LONGEST = 100  # characters of a header that can be known


class Column(NamedTuple):
    """What a header means: the canonical name, empty if it is not known, and the unit that it states."""

    name: str
    unit: str = ""


def fold(text: str) -> str:
    """A name without case, spaces, `-`, `_` and the marks of Markdown."""
    return re.sub(r"[\s_*`–—-]", "", unicodedata.normalize("NFKC", text[: 2 * _LONGEST]).casefold())


NAMES = {fold(alias): name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}


def column(header: str) -> Column:
    """The column that a header names, with the unit in brackets behind it or in the name itself."""
    if len(header) > _LONGEST:
        return Column("")
    unit = next((known for inner in _BRACKETS.findall(header) if (known := unit_of(inner))), "")
    folded = fold(_BRACKETS.sub("", header))
    name = NAMES.get(folded) or NAMES.get(_SETTING.sub("", folded), "")
    return Column(name, unit or _IN_HEADER.get(folded, ""))


def known(headers: list[str]) -> int:
    """How many different columns of figures a line of headers names."""
    return len({column(header).name for header in headers} - {"", MODEL})
