"""Kept answers: many logs are read as one, only one's own is mended, and two runs never share a folder by accident."""

import errno
import shutil
import subprocess
import sys

import pytest

from edgelm.engines.base import Reply
from edgelm.errors import BadFile, BadOption
from edgelm.evaluate.keep import Kept, alone
from edgelm.evaluate.questions import Shard
from edgelm.files import JsonLog


def _reply(key, text="yes"):
    return Reply(key, text, 1, 2, "stop")


def _texts(out):
    with Kept(out) as kept:
        return {key: row["text"] for key, row in kept.rows.items()}


def test_logs_of_shards_and_of_other_machines_are_read_as_one(tmp_path):
    for number in (1, 2):
        with Kept(tmp_path / str(number), Shard(number, 2)) as kept:
            kept.add([_reply(f"k{number}"), _reply("both", f"of {number}")])
    shutil.copy(tmp_path / "2" / "log" / "shard-2-of-2.jsonl", tmp_path / "1" / "log")
    assert _texts(tmp_path / "1") == {"k1": "yes", "k2": "yes", "both": "of 1"}, "the first log wins"


def test_what_is_kept_is_not_kept_twice(tmp_path):
    for _ in range(2):
        with Kept(tmp_path) as kept:
            kept.add([_reply("k"), _reply("k")][: 1 + len(kept.rows)])
    assert [row["key"] for row in JsonLog(tmp_path / "log" / "answers.jsonl").read()] == ["k"]


@pytest.mark.parametrize("shard", [None, Shard(1, 2)])
def test_a_failure_with_nothing_kept_leaves_only_what_was_there_before(tmp_path, shard):
    made = tmp_path / "made"
    for _ in range(2):
        with pytest.raises(KeyError), Kept(made, shard):
            raise KeyError
        assert not made.exists()
    with Kept(made, Shard(2, 2)), pytest.raises(BadOption if shard is None else KeyError), Kept(made, shard):
        raise KeyError
    assert made.exists(), "another shard has come"
    (tmp_path / "found").mkdir()
    with pytest.raises(KeyError), Kept(tmp_path / "found", shard):
        raise KeyError
    assert (tmp_path / "found").exists()
    with pytest.raises(KeyError), Kept(tmp_path / "kept", shard) as kept:
        kept.add([_reply("k")])
        raise KeyError
    assert _texts(tmp_path / "kept") == {"k": "yes"}


def test_only_ones_own_log_is_mended_and_that_is_said_once(tmp_path):
    with Kept(tmp_path) as kept:
        kept.add([_reply("mine")])
    own, other = tmp_path / "log" / "answers.jsonl", tmp_path / "log" / "other.jsonl"
    other.write_bytes(JsonLog.line(vars(_reply("theirs"))) + b"torn")
    own.write_bytes(own.read_bytes() + b"torn")
    told = []
    with Kept(tmp_path, say=told.append) as kept:
        assert set(kept.rows) == {"mine", "theirs"}
        kept.read()
    assert told == [f"{own} ended in a torn line: 4 bytes are cut off; what it held is asked again"]
    assert other.read_bytes().endswith(b"torn") and not own.read_bytes().endswith(b"torn")


def test_what_other_shards_have_written_meanwhile_is_found(tmp_path):
    with Kept(tmp_path, Shard(1, 2)) as first, Kept(tmp_path, Shard(2, 2)) as second:
        first.add([_reply("a")])
        second.add([_reply("b")])
        assert set(first.rows) == {"a"}
        first.read()
        assert set(first.rows) == {"a", "b"}


def test_a_log_of_something_else_is_named(tmp_path):
    with JsonLog(tmp_path / "log" / "metrics.jsonl") as log:
        log.append([{"loss": 3}])
    with pytest.raises(BadFile, match=r"metrics\.jsonl"):
        _texts(tmp_path)


@pytest.mark.parametrize(("first", "second", "together"), [
    (None, None, False), (None, Shard(1, 2), False), (Shard(1, 2), None, False),
    (Shard(1, 2), Shard(1, 2), False), (Shard(1, 2), Shard(2, 2), True), (Shard(1, 2), Shard(1, 3), True),
])  # fmt: skip
def test_only_different_shards_write_to_one_folder_at_a_time(tmp_path, first, second, together):
    with alone(tmp_path, first):
        if together:
            with alone(tmp_path, second):
                pass
        else:
            with pytest.raises(BadOption, match="another run is writing"), alone(tmp_path, second):
                pass
    with alone(tmp_path, second):
        pass


def test_a_killed_run_holds_no_lock(tmp_path):
    script = """if True:
        import os, pathlib, signal, sys
        from edgelm.evaluate.keep import alone
        with alone(pathlib.Path(sys.argv[1])):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    with alone(tmp_path):
        pass


def test_what_fails_under_the_lock_is_not_the_locks_fault(tmp_path):
    with pytest.raises(PermissionError), alone(tmp_path):
        raise PermissionError(errno.EACCES, "somewhere else")
