"""The registry: found without import, parsed from specs, written back as specs, extended by other packages."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm import plugins
from edgelm.errors import BadOption, UnknownName
from edgelm.plugins import KINDS, Plugin, available, convert, find, parse, spec_of

HEAVY = {"torch", "transformers", "numpy", "jinja2", "matplotlib", "gguf"}


@dataclass(frozen=True)
class Every:
    """A plug-in with an option of every kind."""

    whole: int
    real: float = 0.5
    yes: bool = True
    word: str = "w"
    choice: Literal["left", "right"] = "left"
    many: tuple[int, ...] = (1, 2)
    words: tuple[str, ...] = ()
    maybe: int | None = None
    folder: Path = Path()
    made: tuple[float, ...] = field(default_factory=tuple)
    counted: int = field(default=7, init=False)

    def __post_init__(self):
        if self.whole == 13:
            raise BadOption("13 brings bad luck", why="it is prime", mend="take 12")
        if self.whole == 17:
            raise UnknownName("number", "17", ["18"])


@pytest.fixture(autouse=True)
def _with_every(monkeypatch):
    monkeypatch.setattr(Plugin, "load", lambda plugin: Every if plugin.name == "every" else _load(plugin))
    every = {"every": Plugin("tasks", "every", __name__, "Every", "A plug-in.")}
    monkeypatch.setattr(plugins, "available", lambda kind: _available(kind) | (every if kind == "tasks" else {}))


_load, _available = Plugin.load, available


# Listing


def test_what_there_is_is_listed_without_importing_any_of_it():
    code = (
        "import sys, json; from edgelm.plugins import KINDS, available;"
        "print(json.dumps([{kind: sorted(available(kind)) for kind in KINDS}, sorted(sys.modules)]))"
    )
    found, modules = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert {"gsm8k", "commonsenseqa", "chid"} <= set(found["tasks"])
    assert "hf" in found["engines"] and "neurips-2024" in found["rules"] and "base" not in found["tasks"]
    own = {name for name in modules if name.startswith("edgelm")}
    assert own == {"edgelm", "edgelm.plugins", "edgelm.errors"}
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_has_a_one_line_help(kind):
    for name, plugin in _available(kind).items():
        assert plugin.summary.endswith((".", "?")) and len(plugin.summary) < 120, name


def test_a_name_that_is_not_there_brings_the_nearest():
    with pytest.raises(UnknownName) as caught:
        parse("tasks", "gsm9k")
    assert str(caught.value) == "no task called 'gsm9k'\nmend: did you mean 'gsm8k'?"
    with pytest.raises(UnknownName, match="no engine called ''"):
        find("engines", "")


# Specs


@pytest.mark.parametrize(("text", "hint", "value"), [
    ("7", int, 7), ("-3", int, -3), ("50M", int, 50_000_000), ("0.5B", int, 500_000_000), ("1.5k", int, 1500),
    ("12GB", int, 12 * 10**9), ("12GiB", int, 12 * 2**30), ("4kB", int, 4000), ("0.5KiB", int, 512),
    ("8mib", int, 2**23),
    ("90071992547409931", int, 90071992547409931), ("0.1K", int, 100), ("2.3M", int, 2_300_000),
    ("1e-3", float, 0.001), ("2", float, 2.0), ("-.5", float, -0.5), ("64K", float, 64e3),
    ("true", bool, True), ("No", bool, False), ("1", bool, True), ("0", bool, False),
    ("a=b", str, "a=b"), ("", str, ""), ("out/x", Path, Path("out/x")),
    ("right", Literal["left", "right"], "right"), ("right", Literal["left", "right"] | None, "right"),
    ("1+2+30", tuple[int, ...], (1, 2, 30)), ("", tuple[int, ...], ()),
    ("a+b", tuple[str, ...], ("a", "b")), ("4K", int | None, 4000), ("0.5", float | None, 0.5),
])  # fmt: skip
def test_values_of_every_kind(text, hint, value):
    found = convert(text, hint, "x:y")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("text", "hint"), [
    ("", int), ("1.5", int), ("1e3", int), ("K", int), ("5X", int), ("1 K", int), ("0x10", int), ("1.0001K", int),
    ("x", float), ("", float), ("nan", float), ("inf", float), ("-inf", float | None),
    ("maybe", bool), ("", bool), ("middle", Literal["left", "right"]), ("1+", tuple[int, ...]), ("a", int | None),
])  # fmt: skip
def test_a_value_of_the_wrong_kind_is_named(text, hint):
    with pytest.raises(BadOption, match="x:y=") as caught:
        convert(text, hint, "x:y")
    assert caught.value.mend


def test_a_spec_makes_an_instance_and_defaults_fill_what_it_leaves_open():
    assert parse("tasks", "every:whole=1K,many=3+4,choice=right") == Every(1000, many=(3, 4), choice="right")
    assert parse("tasks", "every:whole=3,real=1") == Every(3, real=1.0)
    assert parse("tasks", "chid:split=dev").label == "chid-dev"


@pytest.mark.parametrize(("spec", "what", "mend"), [
    ("every", "'every' needs whole", "every:whole="),
    ("every:", "'every' needs whole", "every:whole="),
    ("every:whole=1,chioce=left", "no option 'chioce'", "did you mean 'choice'"),
    ("every:whole=1,whole=2", "comes twice", "once"),
    ("every:whole", "'whole' in 'every:whole' is not an option", "key=value"),
    ("every:=1", "is not an option", "key=value"),
    ("every:whole=1,", "'' in", "key=value"),
    ("every:whole=1,counted=2", "no option 'counted'", ""),
    ("every:whole=1,choice=up", "every:choice=up", "left, right"),
    ("every:whole=13", "in 'every:whole=13': 13 brings bad luck", "take 12"),
    ("every:whole=17", "in 'every:whole=17': no number called '17'", "18"),
])  # fmt: skip
def test_errors_of_a_spec_name_it_and_the_mend(spec, what, mend):
    with pytest.raises((BadOption, UnknownName)) as caught:
        parse("tasks", spec)
    assert what in str(caught.value) and mend in caught.value.mend


WORDS = st.text(st.characters(blacklist_characters=",+", blacklist_categories=["Cs"]), min_size=1)


@settings(max_examples=50, deadline=None)
@given(
    whole=st.integers(), real=st.floats(allow_nan=False, allow_infinity=False), yes=st.booleans(), word=WORDS,
    choice=st.sampled_from(["left", "right"]), many=st.lists(st.integers()).map(tuple),
    words=st.lists(WORDS).map(tuple), maybe=st.none() | st.integers(),
)  # fmt: skip
def test_a_spec_written_makes_an_equal_instance(whole, real, yes, word, choice, many, words, maybe):
    if whole in (13, 17):
        whole += 1
    plugin = Every(whole, real, yes, word, choice, many, words, maybe, made=(real,))
    own_name, _, options = spec_of(plugin).partition(":")
    assert own_name == __name__.rpartition(".")[2].replace("_", "-")
    assert parse("tasks", f"every:{options}") == plugin


def test_the_key_of_the_positional_option_may_be_left_out_where_it_stands_first(monkeypatch):
    monkeypatch.setattr(Every, "POSITIONAL", "word", raising=False)
    assert parse("tasks", "every:a:b@c,whole=1") == Every(1, word="a:b@c")
    assert parse("tasks", "every:word=a,whole=1") == parse("tasks", "every:whole=1,word=a") == Every(1, word="a")
    for spec, what in (("every:a,whole=1,word=b", "'word' comes twice"), ("every:whole=1,a", "'a' in"),
                       ("every:,whole=1", "'' in")):  # fmt: skip
        with pytest.raises(BadOption, match=what):
            parse("tasks", spec)


@pytest.mark.parametrize("word", ["a:b@c", "a=b", "", "w"])
def test_a_written_spec_has_the_positional_option_first_and_without_its_key_where_it_can(word, monkeypatch):
    monkeypatch.setattr(Every, "POSITIONAL", "word", raising=False)
    options = spec_of(Every(1, word=word)).partition(":")[2]
    assert parse("tasks", f"every:{options}") == Every(1, word=word)
    expected = {"a:b@c": "a:b@c,whole=1", "a=b": "word=a=b,whole=1", "": "word=,whole=1", "w": "whole=1"}[word]
    assert options.removesuffix(",made=") == expected


def test_a_written_spec_leaves_defaults_out():
    assert spec_of(parse("tasks", "chid:split=test")) == "chid"
    assert spec_of(parse("engines", "hf:batch=16")) == "hf:batch=16"


# Other packages


def _package(folder, body="class Riddles:\n    pass\n"):
    (folder / "riddles.py").write_text(f'"""Riddles, three a day.\n\nMore.\n"""\nprint("imported")\n{body}')
    info = folder / "riddles-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: riddles\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgelm.tasks]\nriddles = riddles:Riddles\ngone = riddles_gone.sub:Gone\n")


def test_another_package_adds_a_plugin_through_an_entry_point_and_a_broken_one_does_no_harm(tmp_path):
    _package(tmp_path)
    code = (
        "from edgelm.plugins import available; found = available('tasks');"
        "print(found['riddles'].summary, found['gone'].summary == '', 'gsm8k' in found);"
        "print(found['riddles'].load().__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True
    )
    assert result.stdout.splitlines() == ["Riddles, three a day. True True", "imported", "Riddles"]
