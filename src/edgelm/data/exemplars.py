"""The few-shot exemplars of a task: read out of OpenCompass 0.3.1's published package, or from a suite of its own.

The exemplars are long texts by others, so they are not in this package: the wheel is fetched by hash, and its
configuration files are read as syntax trees. Nothing in them is ever run.
"""

from __future__ import annotations

import ast
import io
import zipfile
from functools import lru_cache
from itertools import takewhile
from typing import Any, Literal

from edgelm.chat import Turn
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.files import parse_json

WHEEL = "opencompass-0.3.1-py3-none-any.whl"
OWN = "exemplars.json"
_ROLES: dict[Any, Literal["user", "assistant"]] = {
    "HUMAN": "user", "BOT": "assistant", "user": "user", "assistant": "assistant",
}  # fmt: skip


def exemplar_file(data: DataFolder) -> str:
    """The data file that the exemplars come from."""
    return WHEEL if data.upstream else OWN


def exemplars(data: DataFolder, task: str, config: str) -> tuple[Turn, ...]:
    """The exemplar turns of a task, questions and answers in order.

    Args:
        data: where to read from.
        task: the task's name in a suite's own `exemplars.json`.
        config: path of OpenCompass's configuration file below `opencompass/configs/datasets/`.
    """
    if data.upstream:
        turns = _from_config(data.read(WHEEL), f"opencompass/configs/datasets/{config}")
        return tuple(takewhile(lambda turn: "{question}" not in turn.text, turns))
    table = parse_json(data.read(OWN), OWN)
    try:
        pairs = [(_ROLES[role], text) for role, text in table.get(task, [])]
        if not all(isinstance(text, str) for _, text in pairs):
            raise TypeError
        return tuple(Turn(role, text) for role, text in pairs)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadFile(f"{OWN}: the exemplars of '{task}' are malformed", mend="write [[role, text], …]") from None


@lru_cache(maxsize=8)
def _from_config(wheel: bytes, member: str) -> tuple[Turn, ...]:
    """All `dict(role=…, prompt=…)` with constant texts in a configuration file, in the order written."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as package:
        tree = ast.parse(package.read(member))
    found: list[tuple[int, Turn]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            values = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
            if isinstance(values.get("role"), str) and isinstance(values.get("prompt"), str):
                found.append((node.lineno, Turn(_ROLES[values["role"]], values["prompt"])))  # type: ignore[arg-type]
    return tuple(turn for _, turn in sorted(found, key=lambda pair: pair[0]))
