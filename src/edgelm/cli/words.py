"""A plug-in in words: what may be given as an option, what stands where nothing is, and what each is for.

What each is for is read where the source says it: in a comment behind the field, or under "Attributes" in the class's
docstring, its own or that of a class it is made from.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from pathlib import Path
from typing import Any

from edgelm.plugins import plain_hint

_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
_COMMENT = re.compile(r"^    (\w+): .*  # (?!fmt:)(.+)$", re.MULTILINE)
_SECTION = re.compile(r"\n*^Attributes:\n((?:    .*\n?|\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a plug-in; `default` is as a spec writes it, and None if the option is required."""

    name: str
    kind: str
    default: str | None
    help: str


def options(plugin: type[Any]) -> list[Option]:
    """The options of a plug-in's class, in their order."""
    hints, told = typing.get_type_hints(plugin), _told(plugin)
    return [Option(field.name, _kind(hints[field.name]), _default(field), told.get(field.name, ""))
            for field in dataclasses.fields(plugin) if field.init]  # fmt: skip


def about(plugin: type[Any]) -> str:
    """What the class says of itself beside its options; nothing where dataclasses wrote its docstring."""
    said = inspect.cleandoc(plugin.__doc__ or "")
    return "" if said.startswith(f"{plugin.__name__}(") else _SECTION.sub("\n\n", said).strip()


def _kind(hint: Any) -> str:
    """What may be given, in words."""
    hint = plain_hint(hint)
    if typing.get_origin(hint) is typing.Literal:
        *most, last = map(str, typing.get_args(hint))
        return f"{', '.join(most)} or {last}" if most else last
    if typing.get_origin(hint) is tuple and (word := _WORDS.get(typing.get_args(hint)[0])):
        return f"{word}s, joined by +"
    return _WORDS.get(hint, "not given in a spec")


def _default(field: dataclasses.Field[Any]) -> str | None:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    return None if value is dataclasses.MISSING else _text(value)


def _text(value: object) -> str:
    """A value as a spec writes it; things that no spec writes by their names."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "+".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "name", value))


def _told(plugin: type[Any]) -> dict[str, str]:
    """What is said of each option; a class's own word goes before those of the classes that it is made from."""
    found: dict[str, str] = {}
    for each in plugin.__mro__[:-1]:
        for section in _SECTION.findall(inspect.cleandoc(each.__doc__ or "")):
            for name, text in _ENTRY.findall(section):
                found.setdefault(name, " ".join(text.split()))
        for name, text in _COMMENT.findall(_source(each)):
            found.setdefault(name, text)
    return found


def _source(plugin: type[Any]) -> str:
    try:
        return inspect.getsource(plugin)
    except (OSError, TypeError):  # there is none, as in a package without its sources
        return ""
