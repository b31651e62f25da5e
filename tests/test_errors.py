"""The exception tree: texts, exit codes, and the drawing in the docstring."""

import pickle
import re

import pytest

from edgelm import errors
from edgelm.errors import EXIT_FAULT, EXIT_INPUT, BadFile, EdgelmError, InputError, MissingPackage, UnknownName


def test_text_gives_what_why_and_mend_each_on_a_line():
    error = BadFile("x is damaged", why="cut short", mend="copy it again")
    assert str(error) == "x is damaged\nwhy: cut short\nmend: copy it again"
    assert str(BadFile("x is damaged")) == "x is damaged"


def test_unknown_name_offers_the_nearest_else_all_that_there_are():
    assert UnknownName("task", "gsm9k", ["gsm8k", "chid"]).mend == "did you mean 'gsm8k'?"
    assert UnknownName("task", "GSM8K", ["gsm8k", "chid"]).mend == "did you mean 'gsm8k'?"
    assert UnknownName("task", "zzz", ["b", "a"]).mend == "known: a, b"
    assert UnknownName("task", "zzz", []).mend == "known: none"


def test_a_missing_package_names_the_extra():
    assert "pip install -e '.[page]'" in MissingPackage("jinja2", "page").mend


def test_the_docstring_draws_every_class_and_its_exit_code():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, EdgelmError)]
    drawn = set(re.findall(r"^\s*(?:├── |└── )?([A-Z]\w+) {2,}", errors.__doc__, re.MULTILINE))
    assert {cls.__name__ for cls in classes} == drawn
    for cls in classes:
        assert cls.exit_code == (EXIT_INPUT if issubclass(cls, InputError) else EXIT_FAULT)


@pytest.mark.parametrize("error", [
    EdgelmError("ours"), BadFile("x is damaged", why="cut", mend="copy"), UnknownName("task", "gsm9k", ["gsm8k"]),
    MissingPackage("jinja2", "page"),
])  # fmt: skip
def test_an_error_comes_out_of_another_process_as_it_is(error):
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error) and str(there) == str(error) and there.args == error.args


def test_every_error_of_the_user_is_caught_as_input_error():
    with pytest.raises(InputError):
        raise UnknownName("task", "x", [])
