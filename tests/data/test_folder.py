"""Data folders: every file is held against its digest, whatever it lies in, and the network is a choice."""

import gzip
import json

import pytest

from edgelm.data import folder as module
from edgelm.data.folder import UPSTREAM, DataFolder, cache_folder
from edgelm.data.sources import Source
from edgelm.errors import BadFile, MissingInput, Offline, UnknownName
from edgelm.files import sha256_bytes

CONTENT = b'{"question": "?", "answer": "#### 1"}\n'
NAME = "gsm8k/test.jsonl"


@pytest.fixture(autouse=True)
def _pinned(monkeypatch, tmp_path):
    """One source, whose pinned edition is CONTENT, and a cache of our own."""
    pinned = Source(NAME, 1, "MIT", sha256_bytes(CONTENT), "https://example.org/test.jsonl")

    def source(name):
        if name != NAME:
            raise UnknownName("data source", name, [NAME])
        return pinned

    monkeypatch.setattr(module, "source", source)
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))


def _put(root, content=CONTENT, name=NAME):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)
    return root


def test_a_file_is_read_plain_or_gzipped(tmp_path):
    assert DataFolder(_put(tmp_path / "plain")).read(NAME) == CONTENT
    assert DataFolder(_put(tmp_path / "packed", gzip.compress(CONTENT), f"{NAME}.gz")).read(NAME) == CONTENT


def test_the_folder_comes_from_the_environment_and_before_the_cache(tmp_path, monkeypatch):
    _put(tmp_path / "cache" / "data")
    assert DataFolder(offline=True).read(NAME) == CONTENT
    monkeypatch.setenv("EDGELM_DATA", str(_put(tmp_path / "mine")))
    assert DataFolder(offline=True).path(NAME) == tmp_path / "mine" / NAME


def test_what_is_here_is_in_the_folder_itself(tmp_path):
    _put(tmp_path / "cache" / "data")
    assert DataFolder(offline=True).here(NAME) is None
    packed = DataFolder(_put(tmp_path / "packed", gzip.compress(CONTENT), f"{NAME}.gz"))
    assert packed.here(NAME) == tmp_path / "packed" / f"{NAME}.gz"
    assert NAME in packed.names and "c4/own.jsonl" not in packed.names


@pytest.mark.parametrize(("content", "name", "match"), [
    (b"", NAME, "is empty"), (CONTENT + b" ", NAME, "not the pinned edition"),
    (b"\x1f\x8bxx", f"{NAME}.gz", "no sound gzip"),
    (gzip.compress(CONTENT, mtime=0)[:-9], f"{NAME}.gz", "no sound gzip"),
    (gzip.compress(b"", mtime=0), f"{NAME}.gz", "is empty"),
])  # fmt: skip
def test_a_file_that_is_not_the_pinned_one_is_named_with_a_mend_that_works(tmp_path, content, name, match):
    _put(tmp_path / "mine", content, name)
    with pytest.raises(BadFile, match=match) as caught:
        DataFolder(tmp_path / "mine").read(NAME)
    assert str(tmp_path / "mine" / name) in caught.value.what and "remove it" in caught.value.mend


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False), ("no", False)])
def test_offline_as_the_environment_says(monkeypatch, value, offline):
    monkeypatch.setenv("EDGELM_OFFLINE", value)
    assert DataFolder().offline is offline
    assert DataFolder(offline=not offline).offline is not offline


def test_offline_never_fetches_and_says_what_to_place_where(monkeypatch):
    monkeypatch.setattr(module, "fetch", lambda *_: pytest.fail("the network was used"))
    with pytest.raises(Offline, match="network is off") as caught:
        DataFolder(offline=True).read(NAME)
    assert "https://example.org/test.jsonl" in caught.value.mend and NAME in caught.value.mend


def test_what_is_nowhere_is_fetched_once_into_the_cache(monkeypatch):
    fetched = []

    def fetch(source, target):
        fetched.append(source.name)
        _put(cache_folder() / "data")

    monkeypatch.setattr(module, "fetch", fetch)
    assert [DataFolder(offline=False).read(NAME) for _ in range(2)] == [CONTENT] * 2
    assert fetched == [NAME]


def test_a_folder_that_is_not_there_and_a_name_that_is_unknown(tmp_path):
    with pytest.raises(MissingInput, match="no data folder"):
        DataFolder(tmp_path / "none")
    with pytest.raises(UnknownName):
        DataFolder(offline=True).read("gsm9k/test.jsonl")


# A suite of its own


@pytest.mark.parametrize("name", [UPSTREAM, "holdout", f"{UPSTREAM}/own", "", "=SUM(A1)", "a b", "x" * 65, "own\n"])
def test_a_suite_cannot_call_itself_what_makes_its_scores_count_for_others(own, name):
    data = own({NAME: b"other rows"})
    suite = json.loads((data.root / "suite.json").read_text())
    (data.root / "suite.json").write_text(json.dumps(suite | {"name": name}))
    with pytest.raises(BadFile, match="cannot name a suite"):
        DataFolder(data.root).suite  # noqa: B018 (reading it is the point)


def test_a_suite_of_its_own_has_its_own_name_and_digests(own, tmp_path):
    data = own({NAME: b"other rows"})
    assert data.suite == "own-1" and not data.upstream and data.read(NAME) == b"other rows"
    assert DataFolder(_put(tmp_path / "plain")).suite == UPSTREAM
    (tmp_path / NAME).write_bytes(b"changed")
    with pytest.raises(BadFile, match="not the pinned edition"):
        data.read(NAME)


def test_a_suite_of_its_own_takes_nothing_from_the_cache_or_the_network(own, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fetch", lambda *_: pytest.fail("the network was used"))
    data = own({NAME: CONTENT})
    _put(tmp_path / "cache" / "data")
    (tmp_path / NAME).unlink()
    with pytest.raises(MissingInput, match="lacks"):
        data.read(NAME)
    with pytest.raises(MissingInput, match="has no chid"):
        data.read("chid/test_public.json")


@pytest.mark.parametrize("suite", [[], {}, {"name": 1, "files": {}}, {"name": "x"}, {"name": "x", "files": {"a": "b"}}])
def test_a_damaged_suite_is_named(tmp_path, suite):
    (tmp_path / "suite.json").write_text(json.dumps(suite))
    with pytest.raises(BadFile, match=r"suite\.json"):
        _ = DataFolder(tmp_path).suite


def test_the_digest_of_files_changes_with_any_of_them(own):
    names = ["a", "b"]
    digests = {own(files).digest(names) for files in ({"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"})}
    assert len(digests) == 2


# Rows


def test_rows_are_read_one_a_line(own):
    assert own({"x": b'{"a": 1}\n\n{"a": "\xe2\x80\xa8"}'}).jsonl("x") == [{"a": 1}, {"a": "\u2028"}]


@pytest.mark.parametrize(("content", "match"), [
    (b'{"a": 1}\n{', "line 2 of x"), (b"\n \n", "no rows"), (b"[1]\n", "no objects"), (b"\xff", "line 1 of x"),
])  # fmt: skip
def test_a_line_that_is_no_row_is_named(own, content, match):
    with pytest.raises(BadFile, match=match):
        own({"x": content}).jsonl("x")
