"""A rule set read back from the canonical JSON by which it was published, or named by whoever asks for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgelm.errors import BadFile, BadOption
from edgelm.files import MAX_RECORD, canonical_json, parse_json, read_bytes
from edgelm.plugins import parse
from edgelm.rules.base import Rules

_LARGEST = 2**63  # no number of a rule set reaches it


@cache
def _reader() -> TypeAdapter[Rules]:
    return TypeAdapter(Rules)


def read_rules(named: str) -> Rules:
    """The rule set of a spec, or of a published file if the name ends in `.json`.

    Raises:
        UnknownName, BadOption: no rule set has that name, or no such option.
        MissingInput, BadFile: there is no such file, or it holds no rule set.
    """
    if named.endswith(".json"):
        return parse_rules(read_bytes(Path(named), MAX_RECORD), named)
    rules: Rules = parse("rules", named)
    return rules


def parse_rules(data: bytes, where: object) -> Rules:
    """The rule set whose canonical JSON this is; `where` names it in errors.

    Raises:
        BadFile: it is no rule set, one of another version of the fields, or not in its canonical form.
    """
    value = parse_json(data, where)
    mend = "take the file that was published with the board"
    if any(not 0 <= number < _LARGEST for number in _numbers(value)):
        raise BadFile(f"{where} holds a number that no rule set has", mend=mend)
    try:
        rules = _reader().validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BadFile(f"{where} is no rule set", why=why, mend=mend) from None
    except BadOption as error:
        raise BadFile(f"{where} is no rule set", why=error.what, mend=mend) from None
    if canonical_json(asdict(rules)) != data:
        raise BadFile(f"{where} is not in canonical form", why="it has other fields, spaces or an order", mend=mend)
    return rules


def _numbers(value: Any) -> Iterator[int]:
    """Every whole number of a JSON value. Fractional ones are none that a rule set has: they come as −1."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value if isinstance(value, int) else -1
