"""Templates of packs: `{column}` stands for a row's value."""

from __future__ import annotations

import re

from edgelm.errors import BadFile

_PLACE = re.compile(r"\{([^\W\d]\w*)\}")


def places(template: str) -> list[str]:
    """The columns that a template names, in order."""
    return _PLACE.findall(template)


def put(template: str, columns: dict[str, str], where: str) -> str:
    """The template with a row's values in its places, each put in once: what a value holds is never a place.

    Unlike a benchmark's, whose fill must be the original's, this cannot grow beyond its parts, nor show a column that
    the template does not name.

    Raises:
        BadFile: the row lacks a column.
    """
    for name in places(template):
        if name not in columns:
            raise BadFile(f"{where} lacks the column '{name}' that the pack's template names",
                          mend="mend the row or the template")  # fmt: skip
    return _PLACE.sub(lambda match: columns[match[1]], template)
