"""Files: what a kill, a full disk or a stranger's archive can and cannot do."""

import errno
import io
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm import files
from edgelm.errors import BadFile, BadOption, MissingInput, NoSpace
from edgelm.files import JsonLog, canonical_json, parse_json, read_bytes, read_json, tree_files, write_bytes
from edgelm.folders import new_folder

ROWS = [{"n": n, "text": "守株待兔" * n} for n in range(5)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)  # fmt: skip


def _names(folder):
    """What lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def test_only_plain_files_of_bearable_size_are_read(tmp_path):
    (tmp_path / "small").write_bytes(b"12345")
    assert read_bytes(tmp_path / "small", 5) == b"12345"
    with pytest.raises(BadFile, match="too large"):
        read_bytes(tmp_path / "small", 4)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):  # neither would ever end
        with pytest.raises(BadFile, match="no plain file"):
            read_bytes(pathlib.Path(path))
    with pytest.raises(MissingInput):
        read_bytes(tmp_path / "absent")


# JSON


@given(value=JSON)
def test_canonical_json_is_read_back_and_stable(value):
    try:
        written = canonical_json(value)
    except UnicodeEncodeError:  # lone surrogates have no UTF-8
        return
    assert parse_json(written, "here") == value
    assert canonical_json(parse_json(written, "here")) == written


def test_canonical_json_sorts_and_refuses_nan():
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError):
        canonical_json(float("nan"))


@pytest.mark.parametrize("text", [b'{"a":1,"a":1}', b'[{"b":{"a":1,"c":2,"a":{}}}]'])
def test_a_key_that_comes_twice_is_refused(text):
    with pytest.raises(BadFile, match="the key 'a' comes twice"):
        parse_json(text, "the settings")


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"NaN", b"[Infinity]", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_a_bad_file_that_names_the_place(text):
    with pytest.raises(BadFile, match="the settings"):
        parse_json(text, "the settings")


@pytest.mark.parametrize("half", [b'"\\ud800"', '{"a": ["\\uDFFF"]}', b'{"\\udc00": 1}', b'"\xed\xa0\x80"'])
def test_half_of_a_surrogate_pair_is_refused_before_it_meets_a_writer(half, tmp_path):
    with pytest.raises(BadFile, match="the settings"):
        parse_json(half, "the settings")
    body = half if isinstance(half, bytes) else half.encode()
    line = b'{"name":' + body + b"}"
    (tmp_path / "log").write_bytes(b"%08x %s\n" % (zlib.crc32(line), line))
    assert JsonLog(tmp_path / "log").read(repair=False) == []


def test_a_whole_pair_is_one_character_and_a_byte_order_mark_none():
    assert parse_json(b'"\\ud83d\\ude00"', "x") == "😀"
    assert parse_json(b"\xef\xbb\xbf1", "x") == 1


def test_a_syntax_error_gives_line_and_column():
    with pytest.raises(BadFile) as caught:
        parse_json('{\n "a": 1,\n}', "x")
    assert "line 3, column 1" in caught.value.why


def test_reading_names_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(MissingInput, match=r"none\.json"):
        read_json(tmp_path / "none.json")
    with pytest.raises(BadFile):
        read_json(tmp_path)


# Digests


def test_digest_of_a_file_is_that_of_its_bytes_and_progress_counts_them(tmp_path):
    data = bytes(range(256)) * 10_000
    (tmp_path / "f").write_bytes(data)
    told = []
    assert files.sha256_file(tmp_path / "f", told.append) == files.sha256_bytes(data)
    assert sum(told) == len(data) and len(told) > 1


def test_tree_is_sorted_bytewise_and_skips_links_unless_asked(tmp_path):
    for name in ("b", "a/z", "a.b", "B", "é"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("b")
    assert tree_files(tmp_path) == ["B", "a.b", "a/z", "b", "é"]
    assert tree_files(tmp_path, links=True) == ["B", "a.b", "a/z", "b", "link", "é"]


# Whole files


def test_a_written_file_is_whole_and_readable_by_all(tmp_path):
    write_bytes(tmp_path / "deep" / "f", b"new")
    assert (tmp_path / "deep" / "f").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "deep" / "f").stat().st_mode) == 0o644


def _full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", _full_disk)
    with pytest.raises(NoSpace, match="f"):
        write_bytes(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert _names(tmp_path) == ["f"]


@pytest.mark.parametrize("write", [lambda path: write_bytes(path, b""), lambda path: JsonLog(path).append([{}])])
def test_a_path_through_a_file_is_the_users_error(tmp_path, write):
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(BadOption, match="cannot be written"):
        write(tmp_path / "f" / "below" / "x")


def _new_folder(path):
    with new_folder(path):
        pytest.fail("the work was begun")


@pytest.mark.parametrize("write", [lambda path: write_bytes(path, b""), _new_folder])
@pytest.mark.parametrize("place", ["/proc/x", "/proc/self/x", "n" * 300])
def test_what_is_wrong_with_an_output_is_said_of_its_own_name(write, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadOption) as refused:
        write(pathlib.Path(place))
    assert refused.value.what == f"{place} cannot be used"
    assert _names(tmp_path) == []


def test_a_file_that_is_missing_in_a_new_folder_is_no_fault_of_the_folders_name(tmp_path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out") as partial:
        (partial / "f").read_bytes()


# Folders


def test_a_new_folder_takes_its_name_only_when_all_went_well(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as partial:
        (partial / "f").touch()
        raise RuntimeError
    assert _names(tmp_path) == []
    with new_folder(tmp_path / "out") as partial:
        (partial / "f").touch()
        assert not (tmp_path / "out").exists()
    assert _names(tmp_path) == ["out"] and (tmp_path / "out" / "f").is_file()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_makes_is_not(tmp_path):
    left = tmp_path / ".out.partial-killed"
    left.mkdir()
    (left / "weights").write_text("half")
    with new_folder(tmp_path / "out") as first:
        assert not left.exists()
        with new_folder(tmp_path / "out") as second:
            assert first.exists() and second.exists()
    assert _names(tmp_path) == ["out"]


def test_work_is_kept_when_the_name_is_taken_meanwhile(tmp_path):
    with pytest.raises(BadOption, match="filled by something else") as refused, new_folder(tmp_path / "out") as partial:
        (partial / "weights").write_text("whole")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "other").touch()
    assert str(partial) in refused.value.mend
    assert (partial / "weights").read_text() == "whole"


@pytest.mark.parametrize("name", ["..", "a/..", "link", "file/x"])
def test_what_cannot_be_a_new_folder_is_refused_before_any_work(tmp_path, name):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(BadOption), new_folder(tmp_path / name):
        pytest.fail("the work was begun")


def test_a_new_folder_refuses_what_is_there_but_takes_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as partial:
        (partial / "f").touch()
    assert (tmp_path / "empty" / "f").is_file()
    for taken in ("empty", "empty/f"):
        with pytest.raises(BadOption, match="exists already"), new_folder(tmp_path / taken):
            pass


def test_a_full_disk_while_a_folder_is_filled_is_said_and_leaves_nothing(tmp_path):
    with pytest.raises(NoSpace), new_folder(tmp_path / "out"):
        _full_disk()
    assert _names(tmp_path) == []


def _killed(script, folder, enough):
    """Run a script in a process of its own and kill it with SIGKILL as soon as `enough()`."""
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    deadline = time.monotonic() + 20
    while not enough() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def test_a_kill_while_a_folder_is_made_leaves_none_of_that_name(tmp_path):
    script = """if True:
        import sys, pathlib
        from edgelm.folders import new_folder
        with new_folder(pathlib.Path(sys.argv[1]) / "out") as partial:
            (partial / "config.json").write_text("{}")
            while True:
                pass
    """
    _killed(script, tmp_path, lambda: any(tmp_path.rglob("config.json")))
    assert [name for name in _names(tmp_path) if not name.startswith(".")] == []


@pytest.mark.parametrize("rows_before_kill", [1, 40])
def test_a_kill_while_rows_are_appended_leaves_whole_rows_in_order(tmp_path, rows_before_kill):
    script = """if True:
        import sys, pathlib, itertools
        from edgelm.files import JsonLog
        with JsonLog(pathlib.Path(sys.argv[1]) / "log") as log:
            for n in itertools.count():
                log.append([{"n": 2 * n, "text": "x" * 3000}, {"n": 2 * n + 1}])
    """
    path = tmp_path / "log"
    _killed(script, tmp_path, lambda: path.exists() and path.stat().st_size > rows_before_kill * 1500)
    rows = JsonLog(path).read()
    assert len(rows) >= rows_before_kill
    assert [row["n"] for row in rows] == list(range(len(rows)))
    with JsonLog(path) as log:
        log.append([{"n": len(rows)}])
    assert len(JsonLog(path).read()) == len(rows) + 1


# The log


def _log(path, rows=ROWS):
    with JsonLog(path) as log:
        log.append(rows[:2])
        log.append(rows[2:])
    return JsonLog(path)


def test_a_log_gives_back_its_rows_and_no_file_gives_none(tmp_path):
    assert JsonLog(tmp_path / "none").read() == []
    assert _log(tmp_path / "log").read() == ROWS


def test_every_cut_drops_the_torn_line_and_only_it(tmp_path):
    whole = b"".join(map(JsonLog.line, ROWS))
    ends = [0]
    for row in ROWS:
        ends.append(ends[-1] + len(JsonLog.line(row)))
    path = tmp_path / "log"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends[1:])
        assert JsonLog(path).read(repair=False) == ROWS[:kept]
        assert path.stat().st_size == cut, "reading without repair leaves the file alone"
        assert JsonLog(path).read() == ROWS[:kept]
        assert path.stat().st_size == ends[kept]


def test_what_is_cut_off_is_counted_and_said(tmp_path):
    log, told = _log(tmp_path / "log"), []
    log.read(say=told.append)
    assert told == []
    log.path.write_bytes(log.path.read_bytes() + b"0000 {}\n\n" + b"x" * 1000)
    assert log.read(repair=False, say=told.append) == ROWS and told == []
    assert log.read(say=told.append) == ROWS
    assert told == [f"{log.path} ended in 2 torn lines: 1,009 bytes are cut off"]


def test_a_damaged_line_before_a_good_one_is_an_error_with_its_number(tmp_path):
    log = _log(tmp_path / "log")
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"n":2', b'"n":7')
    log.path.write_bytes(b"".join(lines))
    with pytest.raises(BadFile, match="line 3 of"):
        log.read()


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"a":NaN}', b"[" * 100_000])
def test_a_right_checksum_over_something_else_is_no_row(tmp_path, body):
    log = _log(tmp_path / "log")
    good = log.path.read_bytes()
    log.path.write_bytes(good + b"%08x %s\n" % (files.zlib.crc32(body), body))
    assert log.read() == ROWS
    log.path.write_bytes(b"%08x %s\n" % (files.zlib.crc32(body), body) + good)
    with pytest.raises(BadFile, match="line 1 of"):
        log.read()


def test_a_full_disk_while_appending_is_said_and_earlier_rows_stay(tmp_path, monkeypatch):
    log = _log(tmp_path / "log")
    with monkeypatch.context() as patch, log:
        patch.setattr(os, "fdatasync", _full_disk)
        log.append([{"n": 5}])
        with pytest.raises(NoSpace, match="log"):
            log.sync()
        patch.undo()
    assert log.read()[:5] == ROWS


def test_rows_are_handed_to_the_disk_by_number_by_time_and_at_the_end(tmp_path, monkeypatch):
    synced, now = [], [0.0]
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    with JsonLog(tmp_path / "log") as log:
        log.append(ROWS)
        assert len(synced) == 0, "few rows, and soon"
        log.append([{"n": n} for n in range(JsonLog.SYNC_ROWS)])
        assert len(synced) == 1, "many"
        now[0] = 0.9 * JsonLog.SYNC_SECONDS
        log.append(ROWS)
        assert len(synced) == 1
        now[0] = JsonLog.SYNC_SECONDS
        log.append(ROWS)
        assert len(synced) == 2, "late"
        log.append(ROWS)
    assert len(synced) == 3


class _NearlyFull(io.FileIO):
    """A file on a disk with room for a few bytes more: a write takes what fits, the next is refused."""

    room = 10

    def write(self, data):
        if not self.room:
            _full_disk()
        taken = super().write(bytes(data[: self.room]))
        self.room -= taken
        return taken


def test_a_short_write_is_no_success(tmp_path):
    log = _log(tmp_path / "log")
    with log:
        log._file = _NearlyFull(log.path, "ab")
        with pytest.raises(NoSpace):
            log.append([{"n": 5}])
    assert log.read() == ROWS
    with log:
        log.append([{"n": 6}])
    assert log.read() == [*ROWS, {"n": 6}]


def test_log_lines_are_what_the_format_says():
    checksum, _, body = JsonLog.line({"b": 1, "a": 2}).partition(b" ")
    assert json.loads(body) == {"a": 2, "b": 1} and int(checksum, 16) == files.zlib.crc32(body.rstrip(b"\n"))


def test_a_number_beyond_all_floats_is_no_number():
    with pytest.raises(BadFile, match="larger than any number"):
        files.parse_json("[1e999]", "a")
    assert files.parse_json("[1e308, -0.5]", "a") == [1e308, -0.5]


def test_json_files_have_a_largest_size(tmp_path):
    (tmp_path / "a.json").write_bytes(b"")
    os.truncate(tmp_path / "a.json", files.MAX_RECORD + 1)
    with pytest.raises(BadFile, match="too large"):
        files.read_json(tmp_path / "a.json")


def test_a_log_is_read_line_by_line_within_limits(tmp_path):
    log = _log(tmp_path / "log")
    size = log.path.stat().st_size
    assert [row for row, _ in log.each(size, len(ROWS))] == ROWS
    for limits in ({"most": size - 1}, {"most_lines": len(ROWS) - 1}):
        with pytest.raises(BadFile, match="too large"):
            list(log.each(**limits))


def test_a_file_of_newlines_takes_next_to_no_memory(tmp_path):
    (tmp_path / "log").write_bytes(b"\n" * (4 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(BadFile, match="line 200,001 is"):
            list(JsonLog(tmp_path / "log").each(most_lines=200_000))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_line_that_never_ends_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(JsonLog, "LONGEST", 100)
    (tmp_path / "log").write_bytes(JsonLog.line({"text": "x" * 100}))
    with pytest.raises(BadFile, match="too long"):
        JsonLog(tmp_path / "log").read()
