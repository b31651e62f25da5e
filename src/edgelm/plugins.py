"""The one registry: a plug-in is one file in its folder, named, described and read from there.

A file `compress/depth.py` is the plug-in `depth` of the kind `compress` because it defines a class of that name
(`Depth`; case and underscores do not matter). The class is a frozen dataclass: its fields are the options. The first
docstring line of the file is its help. Another package adds its own through an entry point `edgelm.<kind>` that
names the class. What there is is read from the source text, so listing imports nothing.

A spec `name:key=value,key=value` makes an instance: `parse("compress", "depth:drop=4")` gives `Depth(drop=4)`.
A class may name one option in `POSITIONAL`, whose key may be left out where it stands first: `ssh:user@host,port=22`.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import math
import re
import types
import typing
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from edgelm.errors import BadOption, InputError, UnknownName

KINDS = ("tasks", "train", "compress", "engines", "deploy", "devices", "rules", "cli")
VERBS = "cli"
# What a file of ours defines at its top level, and the first line it says of itself. Parsing all files of a kind would
# take longer than everything else that `edgelm --help` does.
_CLASSES, _FUNCTIONS = re.compile(r"^class (\w+)", re.M), re.compile(r"^(?:def )?([A-Za-z]\w*)(?=\(| = )", re.M)
_SUMMARY = re.compile(r'"""(.*?)(?:"""|$)', re.M)
_UNITS = {
    "": 1, "K": 10**3, "M": 10**6, "B": 10**9,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Plugin:
    """One plug-in as found on disk: its kind and name, the module and class that make it, its one-line help."""

    kind: str
    name: str
    module: str
    attribute: str
    summary: str

    def load(self) -> Any:
        """Import the module and return the class (or, for the command line, the function)."""
        return getattr(importlib.import_module(self.module), self.attribute)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name).casefold()


def _read(kind: str, module: str, path: Path) -> Plugin | None:
    """The plug-in in a source file, or None if it defines nothing of the file's own name."""
    text = path.read_text(encoding="utf-8")
    for found in (_FUNCTIONS if kind == VERBS else _CLASSES).finditer(text):
        if _plain(found[1]) == _plain(path.stem):
            summary = _SUMMARY.match(text)
            return Plugin(kind, path.stem.replace("_", "-"), module, found[1], summary[1] if summary else "")
    return None


@cache
def available(kind: str) -> dict[str, Plugin]:
    """All plug-ins of a kind by name, without importing any of them."""
    folder = Path(__file__).parent / kind
    found = [_read(kind, f"edgelm.{kind}.{path.stem}", path) for path in sorted(folder.glob("*.py"))]
    plugins = {plugin.name: plugin for plugin in found if plugin}
    for point in entry_points(group=f"edgelm.{kind}"):
        plugins[point.name] = Plugin(kind, point.name, point.module, point.attr, _summary(point.module))
    return plugins


def _summary(module: str) -> str:
    """The first docstring line of another package's module; nothing if its source cannot be read."""
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    except (ImportError, OSError, SyntaxError, ValueError):  # a broken package of another must not break the list
        return ""


def find(kind: str, name: str) -> Plugin:
    """The plug-in of that kind and name.

    Raises:
        UnknownName: with the nearest name that exists.
    """
    plugins = available(kind)
    if name not in plugins:
        raise UnknownName(_SINGULAR.get(kind, kind), name, plugins)
    return plugins[name]


_SINGULAR = {"tasks": "task", "train": "training step", "compress": "compression step", "engines": "engine",
             "deploy": "target", "devices": "device", "rules": "rule set", "cli": "verb"}  # fmt: skip


def parse(kind: str, spec: str) -> Any:
    """Make the plug-in instance that a spec asks for.

    Raises:
        UnknownName: no such plug-in.
        BadOption: malformed, unknown, repeated or missing option, or a value of the wrong kind.
    """
    return made(find(kind, spec.partition(":")[0]).load(), spec)


def made(target: Any, spec: str) -> Any:
    """Make an instance of a class with the options of a spec.

    Raises:
        BadOption: as for `parse`.
    """
    name, _, rest = spec.partition(":")
    options = _options(spec, rest, getattr(target, "POSITIONAL", ""))
    fields = {field.name: field for field in dataclasses.fields(target) if field.init}
    hints = typing.get_type_hints(target)
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in fields:
            near = UnknownName("option", key, fields)
            raise BadOption(f"'{name}' has no option '{key}' (in '{spec}')", mend=near.mend)
        values[key] = convert(text, hints[key], f"{name}:{key}")
    missing = [
        field.name for field in fields.values()
        if field.name not in values
        and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]  # fmt: skip
    if missing:
        raise BadOption(f"'{name}' needs {', '.join(missing)}", mend=f"write {name}:{missing[0]}=…")
    try:
        return target(**values)
    except InputError as error:
        error.what = f"in '{spec}': {error.what}"
        raise


def _options(spec: str, rest: str, positional: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for number, part in enumerate(rest.split(",") if rest else []):
        key, equals, text = part.partition("=")
        if positional and part and not number and not equals:
            key, equals, text = positional, "=", part
        if not equals or not key:
            raise BadOption(f"'{part}' in '{spec}' is not an option", mend="write key=value, separated by commas")
        if key in options:
            raise BadOption(f"option '{key}' comes twice in '{spec}'", mend="give it once")
        options[key] = text
    return options


def convert(text: str, hint: Any, where: str) -> Any:
    """Read an option's text as its field's type: int or float (with K, M, B or a byte unit), bool, str, Path or tuple.

    Raises:
        BadOption: the text is no value of that type.
    """
    hint = plain_hint(hint)
    if typing.get_origin(hint) is tuple:
        return tuple(convert(part, typing.get_args(hint)[0], where) for part in text.split("+") if text)
    if typing.get_origin(hint) is typing.Literal:
        allowed = typing.get_args(hint)
        if text not in allowed:
            raise BadOption(f"{where}={text} is not possible", mend=f"one of {', '.join(allowed)}")
        return text
    if hint not in _PLAIN:
        raise BadOption(f"{where} cannot be given in a spec", mend="write a rule set or plug-in of your own")
    try:
        if hint is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if hint is int:
            return _quantity(text)
        return _number(text) if hint is float else hint(text)
    except (KeyError, ValueError):
        mend = f"see edgelm show {where.partition(':')[0]}"
        raise BadOption(f"{where}={text} is not {_WANTED.get(hint, hint)}", mend=mend) from None


def plain_hint(hint: Any) -> Any:
    """The type of an option that may also be None, without the None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:  # the latter with a Literal
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


_PLAIN = (bool, int, float, str, Path)
_WANTED = {int: "a whole number (50M and 12GB are understood)", float: "a number", bool: "true or false"}


def _number(text: str) -> float:
    """A finite number; one of things may have a unit, as in `vocab:keep=64K`."""
    value = float(_quantity(text)) if text[-1:].isalpha() else float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _quantity(text: str) -> int:
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)([A-Za-z]*)", text)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError(text)
    value = Fraction(match[1]) * _UNITS[match[2].upper()]
    if value.denominator != 1:
        raise ValueError(text)
    return int(value)


def spec_of(plugin: Any) -> str:
    """The spec that makes an equal instance: only options that differ from their defaults are written."""
    name, parts = _name_of(type(plugin).__module__), []
    positional = getattr(plugin, "POSITIONAL", "")
    for field in sorted(dataclasses.fields(plugin), key=lambda field: field.name != positional):
        value = getattr(plugin, field.name)
        if field.init and value != field.default:
            many = isinstance(value, Iterable) and not isinstance(value, str)
            text = "+".join(map(_text, value)) if many else _text(value)
            bare = field.name == positional and text and "=" not in text
            parts.append(text if bare else f"{field.name}={text}")
    return f"{name}:{','.join(parts)}" if parts else name


def _name_of(module: str) -> str:
    """A plug-in is called as its file."""
    return module.rpartition(".")[2].replace("_", "-")


def _text(value: object) -> str:
    """A value as a spec writes it; no `1e+16`, whose plus sign would part a tuple."""
    return str(value).replace("e+", "e") if isinstance(value, float) else str(value)
