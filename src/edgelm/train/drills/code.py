"""Drills in HumanEval's form: Alpaca's Python functions, begun by what was asked for and ended by their bodies."""

from __future__ import annotations

import ast
import random
import re
import textwrap
import warnings
from collections.abc import Iterator

from edgelm.chat import ask
from edgelm.data.texts import Document
from edgelm.tasks.base import Row, Sample, fill
from edgelm.tasks.humaneval import QUESTION
from edgelm.train.drills.text import Text

LONGEST = 1200  # characters of an answer
_BLOCK = re.compile(r"```(?:python|py)?\n(.*?)```", re.DOTALL | re.IGNORECASE)


def rows(text: Text, draw: random.Random) -> Iterator[Row]:
    """Each row of Alpaca with one function of Python once; the answer is the plain body, which needs no fence."""
    problems = [problem for each in text.chats if (problem := _problem(each))]
    for number, (prompt, body, name) in enumerate(draw.sample(problems, len(problems))):
        reference = {"prompt": prompt, "entry_point": name, "test": "", "task_id": f"humaneval-{number}"}
        yield Sample(f"humaneval-{number}", number, ask(fill(QUESTION, {"prompt": prompt})), reference), body


def _problem(document: Document) -> tuple[str, str, str] | None:
    """The beginning of the one function of an answer, with the question as its docstring, its body, and its name."""
    asked = (document.question or "").partition("\n")[0].strip()
    block = _BLOCK.search(document.text)
    code = block[1] if block else document.text
    nodes = _parsed(code) if "def " in code and len(code) <= LONGEST else []
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    if len(functions) != 1 or not asked or not asked.isascii() or '"""' in asked or "\\" in asked:
        return None
    function, imports = functions[0], [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    if ast.get_docstring(function):
        function.body = function.body[1:]
    if not function.body or function.decorator_list:
        return None
    body, function.body = function.body, [ast.Expr(ast.Constant(asked))]
    head = "".join(f"{ast.unparse(node)}\n" for node in imports) + ("\n" if imports else "")
    inside = textwrap.indent("\n".join(map(ast.unparse, body)), "    ")
    return f"{head}{ast.unparse(function)}\n", f"{inside}\n", function.name


def _parsed(code: str) -> list[ast.stmt]:
    """The statements of a program; none of what is no program."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(code.strip("\n")).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
