"""Facts are written for people, not for Python."""

import pytest

from edgelm.evaluate.facts import fact, size


@pytest.mark.parametrize(("name", "value", "text"), [
    ("memory", 2**29, "512.00 MiB"), ("batch", 2**29, "536870912"), ("flags", ["--a", "--b"], "--a, --b"),
    ("flags", [], "–"), ("revision", None, "–"), ("code", True, "yes"), ("memory", True, "yes"),
    ("seconds", 3.0, "3.0"),
])  # fmt: skip
def test_a_fact_is_written_by_its_kind(name, value, text):
    assert fact(name, value) == text


def test_sizes_have_the_largest_unit_that_they_fill():
    assert (size(7), size(3 * 2**29)) == ("7 B", "1.50 GiB")
