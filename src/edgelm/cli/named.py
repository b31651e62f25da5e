"""What the command line is given by name: `NAME=PATH`, `SLOT=FOLDER`, `TASK=REASON`."""

from __future__ import annotations

from collections.abc import Iterable

from edgelm.errors import BadOption


def each_named(option: str, given: Iterable[str], form: str) -> list[tuple[str, str]]:
    """Names and values; `form` is what the option's help calls them.

    Raises:
        BadOption: one has no name, or no value.
    """
    found = []
    for text in given:
        name, _, value = text.partition("=")
        if not name or not value:
            raise BadOption(f"{option} {text}", why="a name or a value is missing", mend=f"give {form}")
        found.append((name, value))
    return found


def by_name(option: str, given: Iterable[str], form: str) -> dict[str, str]:
    """Values by name.

    Raises:
        BadOption: one has no name or no value, or a name comes twice.
    """
    found: dict[str, str] = {}
    for name, value in each_named(option, given, form):
        if name in found:
            raise BadOption(f"{option} {name}=…", why="the name comes twice", mend=f"give {form}, each once")
        found[name] = value
    return found
