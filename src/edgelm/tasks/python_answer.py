"""The program that an answer means: found in its fences, indented again, and cut where it stops being Python."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Mapping

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)  # closed by the end, too
_CODE = re.compile(r"^(?:from|import|def|class|async|@)\b", re.MULTILINE)
_INDENT = "    "


def repaired(answer: str, problem: Mapping[str, str]) -> str:
    """What of an answer continues the problem's `prompt`, a function called `entry_point`, as a program.

    The block that defines the function, or else the first block, or else the text; in the indentation that keeps most
    lines; without the last lines if only then it is Python, since an answer may be cut off or end in prose.
    """
    define = re.compile(rf"^(?:async )?def {re.escape(problem['entry_point'])}\b", re.MULTILINE)
    blocks = [textwrap.dedent(block) if define.search(textwrap.dedent(block)) else block
              for block in _FENCE.findall(answer)]  # fmt: skip
    code = next((block for block in blocks if define.search(block)), blocks[0] if blocks else answer)
    if define.search(code):
        start = _CODE.search(code)
        return _longest(problem["prompt"], code[start.start() :] if start else code) or code
    whole, first = textwrap.indent(textwrap.dedent(code.strip("\n")), _INDENT), _INDENT + code.strip()
    stripped = not code.strip("\n").startswith((" ", "\t"))
    shapes = [whole, first] if stripped else [code, whole]
    kept = [_longest(problem["prompt"], shape) for shape in shapes]
    return max(kept, key=lambda lines: len(lines.splitlines())) or code


def _longest(prompt: str, code: str) -> str:
    """The most lines from the beginning that are a program behind the prompt."""
    lines = code.splitlines(keepends=True)
    for count in range(len(lines), 0, -1):
        kept = "".join(lines[:count])
        if compiles(prompt + kept):
            return kept
    return ""


def compiles(program: str) -> bool:
    """Whether a text is a Python program; it is not run."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(program, "<answer>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True
