from pathlib import Path

import pytest

from edgelm.errors import BadFile, BadOption, InputError, MissingInput, UnknownName
from edgelm.plugins import parse
from edgelm.recipe import is_recipe, merged, read_recipe, steps_of


@pytest.fixture
def written(tmp_path):
    """`written("depth:drop=1\\n")`: the path of a recipe with that text."""

    def write(text, name="recipe.txt"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_recipe_is_one_spec_a_line_and_remarks(written):
    text = "# what it does\n\n  depth:drop=2   # two\n\twidth:ffn=96\r\ncorpus:file=a#b\n"
    assert read_recipe(written(text)) == ["depth:drop=2", "width:ffn=96", "corpus:file=a#b"]


@pytest.mark.parametrize(("text", "kind", "error", "words"), [
    ("depth:drop=1\n\nwidht:ffn=96\n", "compress", UnknownName, "line 3: no compression step called 'widht'"),
    ("depth:dorp=1\n", "compress", BadOption, "line 1: 'depth' has no option 'dorp'"),
    ("# x\ndepth:drop=many\n", "compress", BadOption, "line 2: depth:drop=many is not a whole number"),
    ("depth:drop=1 width:ffn=96\n", None, BadFile, "line 1: 'depth:drop=1 width:ffn=96' is not one step"),
    ("# nothing\n", None, MissingInput, "holds no step"),
])  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(written, text, kind, error, words):
    path = written(text)
    with pytest.raises(error) as raised:
        read_recipe(path, kind)
    assert str(path) in raised.value.what
    assert words in raised.value.what
    assert raised.value.mend


def test_a_file_that_is_not_there_and_one_that_is_no_text(tmp_path):
    with pytest.raises(MissingInput, match="there is no recipe"):
        read_recipe(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="cannot be read"):
        read_recipe(tmp_path / "bytes.txt")
    with pytest.raises(BadFile, match="cannot be read"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(("specs", "result"), [
    (["a:x=1,y=2", "b", "a:y=3,z=4"], ["a:x=1,y=3,z=4", "b"]),
    (["a", "a:x=1"], ["a:x=1"]),
    (["a:x=1", "a"], ["a:x=1"]),
    (["a:x=1", "a:x=2", "a:x=3"], ["a:x=3"]),
    (["b:x=1", "a:x=1", "b:x=2"], ["b:x=2", "a:x=1"]),
    (["a:path=x=y,z=1", "a:z=2"], ["a:path=x=y,z=2"]),
    ([], []),
])  # fmt: skip
def test_a_later_spec_changes_what_it_names(specs, result):
    assert merged(specs) == result
    assert merged(merged(specs)) == result


@pytest.mark.parametrize("later", ["depth:drop", "depth:drop=1,drop=2", "depth:=1", "depth:drop=1,"])
def test_a_malformed_spec_is_still_refused_after_merging(later):
    (spec,) = merged(["depth:drop=4", later])
    with pytest.raises(InputError):
        parse("compress", spec)


def test_without_a_recipe_specs_stay_as_they_are():
    assert steps_of(["depth:drop=1", "width:ffn=96", "depth:drop=1"], "compress") == [
        "depth:drop=1", "width:ffn=96", "depth:drop=1",
    ]  # fmt: skip


def test_recipes_and_specs_change_what_stands_before_them(written):
    first = str(written("depth:drop=1\nwidth:ffn=96\n", "first.txt"))
    second = str(written("width:ffn=64\n", "second"))
    assert steps_of([first, "depth:drop=2"], "compress") == ["depth:drop=2", "width:ffn=96"]
    assert steps_of([first, second], "compress") == ["depth:drop=1", "width:ffn=64"]
    assert steps_of([second, first], "compress") == ["width:ffn=96", "depth:drop=1"]
    assert steps_of(["depth:drop=2", first], "compress") == ["depth:drop=1", "width:ffn=96"]


def test_a_step_that_a_recipe_has_twice_cannot_be_changed_from_outside(written):
    recipe = str(written("depth:drop=1\nwidth:ffn=96\ndepth:drop=1\n"))
    assert steps_of([recipe, "width:ffn=64"], "compress") == ["depth:drop=1", "width:ffn=64", "depth:drop=1"]
    with pytest.raises(BadOption, match="there are 2 called 'depth'"):
        steps_of([recipe, "depth:drop=2"], "compress")
    with pytest.raises(BadOption, match="there are 2 called 'depth'"):
        steps_of(["depth:drop=2", recipe], "compress")


def test_what_is_taken_for_a_recipe(written, tmp_path, monkeypatch):
    written("a\n", "plain")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    assert [is_recipe(each) for each in ("plain", "none.txt", "sub/none.txt", "a:b.txt")] == [True] * 4
    files = "corpus:files=" + "+".join(["c4/en.json"] * 200)  # longer than a file's name may be
    assert [is_recipe(each) for each in ("depth", "corpus", "tokenizer:from=a.txt", files)] == [False] * 4


def test_every_line_of_the_recipes_that_come_with_the_project_is_a_spec():
    recipes = sorted((Path(__file__).parents[1] / "recipes").rglob("*.txt"))
    assert recipes
    for recipe in recipes:
        assert read_recipe(recipe, recipe.parent.name)
