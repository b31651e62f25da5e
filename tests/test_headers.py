"""Headers of safetensors files: every contradiction is noticed, and no weight is read."""

import json
import os
import struct
import time

import pytest

from edgelm.errors import BadFile
from edgelm.headers import read_header


def _write(path, header, data_bytes):
    """A file of that header and so many zeros, which take no room on the disk."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + data_bytes)


def _entry(start, end, shape=(2,), dtype="F16"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_every_cut_of_a_file_is_noticed(tmp_path, write_zeros):
    path = tmp_path / "x.safetensors"
    write_zeros(path, {"a": (3, 4), "b": (5,)})
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(BadFile, match=r"x\.safetensors"):
            read_header(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(BadFile, match="describes"):
        read_header(path)


@pytest.mark.parametrize(("entries", "data"), [
    ({"a": _entry(0, 4), "b": _entry(2, 6)}, 6), ({"a": _entry(0, 4), "b": _entry(6, 10)}, 10),
    ({"a": _entry(2, 6)}, 6), ({"a": _entry(-4, 0)}, 0), ({"a": _entry(4, 0)}, 4), ({"a": _entry(0, 6)}, 6),
    ({"a": _entry(0, 4, [-2])}, 4), ({"a": _entry(0, 4, [2.0])}, 4), ({"a": _entry(0, 4, ["2"])}, 4),
    ({"a": _entry(0, 4, None)}, 4), ({"a": _entry(0, 4, dtype=5)}, 4), ({"a": _entry(0, 4, dtype=["F16"])}, 4),
    ({"a": {"dtype": "F16", "shape": [2]}}, 4), ({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0]}}, 4),
    ({"a": None}, 0), ({"a": _entry("0", "4")}, 4), ({"a": _entry(0, 2**70, [2**69])}, 4), ([], 0), ("a", 0),
])  # fmt: skip
def test_a_header_that_contradicts_itself_or_the_file_is_refused(tmp_path, entries, data):
    _write(tmp_path / "x.safetensors", json.dumps(entries).encode(), data)
    with pytest.raises(BadFile, match=r"x\.safetensors"):
        read_header(tmp_path / "x.safetensors")


def test_what_is_no_plain_file_is_refused_and_never_opened(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("folder", "pipe"):
        with pytest.raises(BadFile, match=name):
            read_header(tmp_path / f"{name}.safetensors")


def test_a_tensor_that_comes_twice_is_refused(tmp_path):
    entry = json.dumps(_entry(0, 4))
    _write(tmp_path / "x.safetensors", f'{{"a":{entry},"a":{entry}}}'.encode(), 4)
    with pytest.raises(BadFile, match="header"):
        read_header(tmp_path / "x.safetensors")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_length_beyond_the_file_reads_nothing(tmp_path, length):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(BadFile, match="header does not fit"):
        read_header(path)


@pytest.mark.parametrize("header", [b"{]", b"\xff\xfe", b'{"a": NaN}', b"[" * 50_000])
def test_a_header_that_is_no_json_is_refused(tmp_path, header):
    _write(tmp_path / "x.safetensors", header, 0)
    with pytest.raises(BadFile, match="header of"):
        read_header(tmp_path / "x.safetensors")


def test_a_header_without_tensors_and_empty_tensors_are_sound(tmp_path, write_zeros):
    _write(tmp_path / "x.safetensors", b"{}", 0)
    assert read_header(tmp_path / "x.safetensors") == []
    write_zeros(tmp_path / "x.safetensors", {"a": (0, 5), "b": (2,), "c": (3, 0)})
    assert [tensor.size for tensor in read_header(tmp_path / "x.safetensors")] == [0, 2, 0]


@pytest.mark.parametrize("shape", [[10**17] * 100_000, [1] * 9, [True], [2**48]])
def test_a_shape_beyond_all_there_is_is_refused_at_once(tmp_path, shape):
    _write(tmp_path / "x.safetensors", json.dumps({"a": _entry(0, 2, shape)}).encode(), 2)
    started = time.process_time()
    with pytest.raises(BadFile, match="do not agree"):
        read_header(tmp_path / "x.safetensors")
    assert time.process_time() - started < 10
