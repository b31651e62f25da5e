"""Recipes: the steps of a verb in a text file, and how a spec beside it changes them.

A recipe has one spec a line (`pretrain:shape=125M,tokens=2.5B`); empty lines, and what follows a `#` at the start of a
line or after a space, are for people. A verb takes recipes wherever it takes specs: what comes later changes what
stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgelm.errors import BadFile, BadOption, InputError, MissingInput
from edgelm.plugins import parse

ENDING = ".txt"


def steps_of(arguments: Sequence[str], kind: str) -> list[str]:
    """The specs that a verb's arguments, recipes and specs in any order, ask for.

    Without a recipe the specs stay as they are. With one, each argument changes those before it, as `merged` says; the
    lines of one recipe do not change each other, so that a compression may do a step twice.

    Raises:
        MissingInput, BadFile, InputError: see `read_recipe`.
        BadOption: an argument changes a step of which there are several.
    """
    if not any(map(is_recipe, arguments)):
        return list(arguments)
    steps: list[str] = []
    for argument in arguments:
        steps = _changed(steps, read_recipe(Path(argument), kind) if is_recipe(argument) else [argument])
    return steps


def is_recipe(argument: str) -> bool:
    """Whether an argument names a file, there or not, rather than a step."""
    if argument.endswith(ENDING):
        return "=" not in argument
    return ":" not in argument and Path(argument).is_file()


def read_recipe(path: Path, kind: str | None = None) -> list[str]:
    """The specs in a recipe, in order; those of a `kind` of plug-in (`train`, `compress`) are tried out.

    Raises:
        MissingInput: there is no such file, or it holds no step.
        BadFile: it is no text, or a line is no spec.
        InputError: a line names no step or option there is, or no value of it; with file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        mend = "check the path; a step is written name:key=value"
        raise MissingInput(f"there is no recipe {path}", mend=mend) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"the recipe {path} cannot be read", why=str(error), mend="give a text file in UTF-8") from None
    steps = []
    for number, line in enumerate(lines, start=1):
        if spec := re.sub(r"(^|\s)#.*", "", line).strip():
            steps.append(_tried(spec, kind, f"{path}, line {number}"))
    if not steps:
        raise MissingInput(f"the recipe {path} holds no step", mend=_mend(kind))
    return steps


def _tried(spec: str, kind: str | None, where: str) -> str:
    if len(spec.split()) > 1:
        raise BadFile(f"{where}: '{spec}' is not one step", why="a spec has no spaces",
                      mend=_mend(kind))  # fmt: skip
    if kind:
        try:
            parse(kind, spec)
        except InputError as error:
            error.what = f"{where}: {error.what}"
            raise
    return spec


def _mend(kind: str | None) -> str:
    return f"write one spec a line, such as {'depth:drop=4' if kind == 'compress' else 'pretrain:steps=100'}"


def merged(specs: Sequence[str]) -> list[str]:
    """One spec for each step, in order of first appearance: a later one changes the options it names, no others.

    Malformed options are handed on, for whoever reads the spec to refuse.
    """
    steps: list[str] = []
    for spec in specs:
        steps = _changed(steps, [spec])
    return steps


def _changed(steps: Sequence[str], part: Sequence[str]) -> list[str]:
    """The steps with those of a part: a step that is there is changed in its place, another comes last.

    Raises:
        BadOption: the steps have several of that name, or the part does, so that it is open which one is meant.
    """
    names, changing = [_name(step) for step in steps], [_name(spec) for spec in part]
    made = list(steps)
    for spec in part:
        times = max(names.count(_name(spec)), changing.count(_name(spec)))
        if _name(spec) not in names:
            made.append(spec)
        elif times > 1:
            raise BadOption(f"'{spec}' changes a step, but there are {times} called '{_name(spec)}'",
                            mend="write the steps you want into one recipe")  # fmt: skip
        else:
            place = names.index(_name(spec))
            made[place] = _joined(made[place], spec)
    return made


def _joined(spec: str, later: str) -> str:
    """The options of the first that the second does not name, and then those of the second."""
    name, _, options = spec.partition(":")
    changes = later.partition(":")[2]
    named = {_key(option) for option in changes.split(",")}
    parts = [option for option in options.split(",") if option and _key(option) not in named]
    parts += [changes] if changes else []
    return f"{name}:{','.join(parts)}" if parts else name


def _name(spec: str) -> str:
    return spec.partition(":")[0]


def _key(option: str) -> str:
    return option.partition("=")[0]
