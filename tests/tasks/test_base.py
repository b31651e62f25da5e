"""What all tasks share: the naming of protocols, templates and columns."""

from fractions import Fraction

import pytest

from edgelm.errors import BadFile
from edgelm.plugins import available, parse
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Benchmark, field, fill, protocol


@pytest.mark.parametrize("name", sorted(available("tasks")))
def test_the_official_name_is_for_upstream_data_alone(upstream, own, name):
    task = parse("tasks", name)
    assert protocol(task, upstream) == f"opencompass-0.3.1/{task.version}"
    files = dict.fromkeys(task.files(own({})), b"{}")
    first = protocol(task, own(files))
    assert first.startswith(f"own-1/{task.label}-") and len(first.rpartition("-")[2]) == 8
    assert protocol(task, own(dict.fromkeys(files, b"[]"))) != first


def test_templates_are_filled_one_column_after_the_other():
    assert fill("{a} {b} {c}", {"a": "{b}", "b": "2"}) == "2 2 {c}"
    assert fill("{b} {a}", {"a": "1", "b": "{a}"}) == "{a} 1"


def test_a_column_that_is_missing_or_of_another_kind_is_named():
    assert field({"a": {"b": 1}}, "a.b", "row 1", int) == 1
    for row in ({}, {"a": 1}, {"a": {}}, {"a": {"b": "1"}}):
        with pytest.raises(BadFile, match=r"row 1.*a\.b"):
            field(row, "a.b", "row 1", int)


def test_the_mean_is_over_rows_whatever_their_subset():
    assert Benchmark().aggregate({"a": [FULL_MARK], "b": [0, 0]}) == Fraction(100, 3)
