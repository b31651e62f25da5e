"""A plug-in's options in words: what may be given, what stands otherwise, and what each is for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from edgelm.cli.words import Option, about, options
from edgelm.plugins import KINDS, available


@dataclass(frozen=True)
class Base:
    """What others are made from.

    Attributes:
        kept: from below,
            on two lines.
        changed: from below.
    """

    kept: bool = False
    changed: int = 1


@dataclass(frozen=True)
class Whole(Base):
    """A plug-in of all kinds.

    It says more.

    Attributes:
        choice: which one: this or that.

    And an end.
    """

    changed: int = 2  # from above: "a" # b
    choice: Literal["this", "that", "none"] = "this"
    real: float | None = None
    names: tuple[str, ...] = ("a", "b")
    numbers: tuple[int, ...] = field(default_factory=tuple)
    folder: Path = Path("x")
    things: tuple[Base, ...] = ()  # fmt: skip
    hidden: int = field(default=0, init=False)


@dataclass(frozen=True)
class Bare:
    number: int


def test_kinds_defaults_and_help_are_words():
    assert options(Whole) == [
        Option("kept", "true or false", "false", "from below, on two lines."),
        Option("changed", "whole number", "2", 'from above: "a" # b'),
        Option("choice", "this, that or none", "this", "which one: this or that."),
        Option("real", "number", "", ""),
        Option("names", "texts, joined by +", "a+b", ""),
        Option("numbers", "whole numbers, joined by +", "", ""),
        Option("folder", "path", "x", ""),
        Option("things", "not given in a spec", "", ""),
    ]
    assert options(Bare) == [Option("number", "whole number", None, "")]


def test_what_a_class_says_of_itself_leaves_its_options_out():
    assert about(Whole) == "A plug-in of all kinds.\n\nIt says more.\n\nAnd an end."
    assert about(Bare) == ""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cli"])
def test_no_python_is_shown_of_any_plugin(kind):
    for name, plugin in available(kind).items():
        target = plugin.load()
        words = [about(target), *(f"{each.kind} {each.default}" for each in options(target))]
        assert not any(sign in text for text in words for sign in ("Attributes:", "[", "Literal", "None,", "('")), name
