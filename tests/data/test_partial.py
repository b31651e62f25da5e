"""A partial file: kept while it is worth keeping, filled by one process at a time."""

import threading

import pytest

from edgelm.data.partial import partial


def test_it_grows_until_it_takes_the_targets_name(tmp_path):
    target = tmp_path / "set" / "x"
    with partial(target) as part:
        part.write(b"ab")
    assert not target.exists() and (tmp_path / "set" / ".x.part").read_bytes() == b"ab"
    with partial(target) as part:
        assert part.size == 2
        part.write(b"cd")
        part.take_name(target)
    assert target.read_bytes() == b"abcd" and [path.name for path in target.parent.iterdir()] == ["x"]


def test_nothing_is_left_where_nothing_came(tmp_path):
    with pytest.raises(RuntimeError), partial(tmp_path / "x"):
        raise RuntimeError
    with partial(tmp_path / "x") as part:
        part.write(b"ab")
        part.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_waits_and_does_not_write_into_what_is_finished(tmp_path):
    target, order = tmp_path / "x", []

    def second():
        with partial(target) as part:
            order.append(("second", target.read_bytes(), part.size))

    with partial(target) as part:
        waiting = threading.Thread(target=second)
        waiting.start()
        part.write(b"abcd")
        order.append("first")
        part.take_name(target)
    waiting.join(10)
    assert order == ["first", ("second", b"abcd", 0)]
    assert target.read_bytes() == b"abcd" and [path.name for path in tmp_path.iterdir()] == ["x"]
