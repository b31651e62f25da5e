"""Archives from strangers: what is safe comes out whole, everything else is refused before it does harm."""

import os
import stat
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.archives.unpack import read_entry, unpack
from edgelm.errors import BadFile, InputError, MissingInput
from edgelm.files import tree_files


def _names(folder):
    """What lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def _zip(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def _unzip(path, **limits):
    unpack(path, path.parent / "out", **{"max_bytes": 10**6} | limits)
    return tree_files(path.parent / "out")


def test_a_plain_zip_is_unpacked(tmp_path):
    path = _zip(tmp_path / "a.zip", [("d/", b""), ("d/x", b"1"), ("y", b"22"), ("d.e", b"")])
    assert _unzip(path) == ["d.e", "d/x", "y"]
    assert (tmp_path / "out" / "y").read_bytes() == b"22"


def test_a_leading_dot_is_the_archives_own_folder(tmp_path):
    (tmp_path / "good/d").mkdir(parents=True)
    (tmp_path / "good/d/x").write_bytes(b"1")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "good", ".")  # as `tar -cf a.tar -C good .` does
        assert archive.getnames() == [".", "./d", "./d/x"]
    assert _unzip(tmp_path / "a.tar") == ["d/x"]
    path = _zip(tmp_path / "a.zip", [("./", b""), ("./y", b"22")])
    assert _unzip(path) == ["d/x", "y"]
    assert read_entry(path, "y", most=9) == b"22"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("names", "problem"), [
    (["/etc/passwd"], "leaves"), (["../x"], "leaves"), (["a/../../x"], "leaves"), (["a\\..\\x"], "leaves"),
    (["C:/x"], "leaves"), (["a//x"], "leaves"), (["a/./x"], "leaves"), (["././x"], "leaves"),
    (["./../x"], "leaves"), ([".//x"], "leaves"), (["./"], "leaves"), (["x", "x"], "comes twice"),
    (["x", "./x"], "comes twice"), (["x", "./X"], "comes twice"), (["a", "./a/b"], "both a file and a folder"),
    (["Model/x", "model/X"], "comes twice"), (["a", "a/b"], "both a file and a folder"),
    (["a/b", "a"], "both a file and a folder"), (["a", "A/b/"], "both a file and a folder"),
])  # fmt: skip
def test_an_entry_that_could_do_harm_is_named_and_refused(tmp_path, names, problem):
    path = _zip(tmp_path / "a.zip", [(name, b"1") for name in names])
    with pytest.raises(BadFile, match=problem):
        _unzip(path)
    assert set(tree_files(tmp_path)) <= {"a.zip", f"out/{names[0]}"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path, kind):
    entry = zipfile.ZipInfo("x")
    entry.external_attr = (kind | 0o777) << 16
    with pytest.raises(BadFile, match="link or a device"):
        _unzip(_zip(tmp_path / "a.zip", [(entry, b"/etc/passwd")]))


def test_a_bomb_stops_at_the_budget(tmp_path):
    path = _zip(tmp_path / "a.zip", [("zeros", bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(BadFile, match="more than is allowed"):
        _unzip(path, max_bytes=2 << 20)
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*")) <= 2 << 20


def test_the_budget_is_for_all_entries_together(tmp_path):
    path = _zip(tmp_path / "a.zip", [("a", bytes(60)), ("b", bytes(41))])
    with pytest.raises(BadFile, match="more than is allowed"):
        _unzip(path, max_bytes=100)
    with pytest.raises(BadFile, match="2 entries"):
        _unzip(path, max_entries=1)


def test_one_entry_is_read_by_name_within_a_limit(tmp_path):
    path = _zip(tmp_path / "a.zip", [("d/x", b"1"), ("y", bytes(1000))])
    assert read_entry(path, "d/x", most=1) == b"1"
    with pytest.raises(MissingInput, match=r"a\.zip/x"):
        read_entry(path, "x", most=1)
    with pytest.raises(BadFile, match="more than 999 bytes"):
        read_entry(path, "y", most=999)
    assert _names(tmp_path) == ["a.zip"]


def test_an_entry_of_an_archive_that_could_do_harm_is_not_read(tmp_path):
    path = _zip(tmp_path / "a.zip", [("x", b"1"), ("../x", b"2")])
    with pytest.raises(BadFile, match="leaves"):
        read_entry(path, "x", most=1)
    with pytest.raises(BadFile, match="2 entries"):
        read_entry(path, "x", most=1, max_entries=1)


def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(BadFile, match="no plain file"):
        _unzip(tmp_path / "a.zip")


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(MissingInput, match=r"a\.zip"):
        _unzip(tmp_path / "a.zip")


def test_what_is_no_zip_or_is_encrypted_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    with pytest.raises(BadFile, match="not a readable zip"):
        _unzip(tmp_path / "a.zip")
    data = bytearray(_zip(tmp_path / "b.zip", [("x", b"1")]).read_bytes())
    data[6] |= 1  # the flag "encrypted", in the entry and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(BadFile, match="encrypted"):
        _unzip(tmp_path / "b.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_the_users_error_or_harmless(method, data):
    with tempfile.TemporaryDirectory() as name:
        path = _zip(Path(name) / "a.zip", [("d/é", b"abc" * 50), ("y", b"22")], compression=method)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.sampled_from([None, None, len(content) // 2]))])
        try:
            _unzip(path)
        except InputError as error:
            assert error.mend or error.why
        assert set(_names(Path(name))) <= {"a.zip", "out"}


def test_bytes_between_the_64_bit_directory_and_the_end_are_refused(tmp_path):
    plain = _zip(tmp_path / "a.zip", [("x", b"1")]).read_bytes()
    at, end = plain.index(b"PK\1\2"), plain[-22:]
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(plain) - 22 - at, at)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, len(plain) - 22, 1)
    (tmp_path / "a.zip").write_bytes(plain[:-22] + record + locator + end)
    assert _unzip(tmp_path / "a.zip") == ["x"]
    (tmp_path / "a.zip").write_bytes(plain[:-22] + record + b"more" + locator + end)
    with pytest.raises(BadFile, match="bytes between"):
        unpack(tmp_path / "a.zip", tmp_path / "other", max_bytes=10**6)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_is_undone_without_a_limit_is_refused(tmp_path, method):
    with pytest.raises(BadFile, match="otherwise than by deflation"):
        _unzip(_zip(tmp_path / "a.zip", [("x", b"1")], compression=method))


def _tar(path, headers, global_headers=None):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=global_headers) as archive:
        entry = tarfile.TarInfo("x")
        entry.pax_headers = headers
        archive.addfile(entry)
    return path


def test_headers_of_a_tar_that_hold_for_all_entries_or_are_large_are_refused(tmp_path):
    assert _unzip(_tar(tmp_path / "a.tar", {"comment": "c" * 60_000})) == ["x"]
    with pytest.raises(BadFile, match="65,536 bytes of headers"):
        _unzip(_tar(tmp_path / "a.tar", {"comment": "c" * 66_000}))
    with pytest.raises(BadFile, match="all entries behind it"):
        _unzip(_tar(tmp_path / "a.tar", {}, {"path": "y"}))
