"""Templates of packs: each value is put in once, whatever it holds."""

import pytest

from edgelm.errors import BadFile
from edgelm.tasks.holdout.template import places, put


def test_values_are_put_in_once():
    bomb = {f"v{n}": f"{{v{n + 1}}}" * 100 for n in range(50)} | {"v50": "x", "answer": "secret"}
    assert put("{v0} {v1}", bomb, "row 1") == f"{bomb['v0']} {bomb['v1']}"
    assert put("{问题}?", {"问题": "{answer}"}, "row 1") == "{answer}?", "a value shows no other column"


def test_other_braces_stay():
    assert put(r"\frac{1}{2} {} { x } {x-y} {x}", {"x": "X"}, "row 1") == r"\frac{1}{2} {} { x } {x-y} X"
    assert places("{a} {b} {a}") == ["a", "b", "a"]


def test_a_place_without_a_column_is_named():
    with pytest.raises(BadFile, match=r"row 1 lacks the column 'y'"):
        put("{x} {y}", {"x": "1"}, "row 1")
