"""The bundle's scripts and its README, filled with what this bundle holds."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgelm.errors import EdgelmError

_FOLDER = Path(__file__).parent / "shell"
_WORD = re.compile(r"@([A-Z0-9_]+)@")
_PASSAGES = 8  # copies, which make more tokens than any workload reads with any vocabulary


def write_scripts(out: Path, values: Mapping[str, object]) -> None:
    """Write `run.sh`, `install.sh` and `README.txt`; values of scripts are quoted for the shell.

    Each script is whole by itself: what both say to the phone (`phone.sh`) is put into them.
    """
    for name in ("run.sh", "install.sh"):
        quoted = {key: shlex.quote(str(value)) for key, value in values.items()}
        quoted["PHONE"] = (_FOLDER / "phone.sh").read_text(encoding="utf-8").rstrip()
        (out / name).write_text(_filled(name, quoted), encoding="utf-8")
        (out / name).chmod(0o755)
    (out / "README.txt").write_text(_filled("README.txt", values), encoding="utf-8")


def _filled(name: str, values: Mapping[str, object]) -> str:
    def value(word: re.Match[str]) -> str:
        if word[1] not in values:
            raise EdgelmError(f"{name} wants {word[1]}, which nobody gives", mend="report it")
        return str(values[word[1]])

    return _WORD.sub(value, (_FOLDER / name).read_text(encoding="utf-8"))


def size(number: float) -> str:
    """Bytes, to three digits, in the largest unit that they fill: of 1,000, as phones are sold by."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} B"


def in_json(text: str) -> str:
    """A text as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def write_passage(out: Path, card: Mapping[str, Any]) -> None:
    """Write `passage.json`, the question that turns the passage into tokens."""
    question = {"op": "tokenize", "text": card["passage"] * _PASSAGES}
    (out / "passage.json").write_text(json.dumps(question, ensure_ascii=False) + "\n", encoding="utf-8")
