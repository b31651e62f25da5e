"""Pulling many sources: a few at a time, each reported, none stopping the others."""

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.pull import AT_ONCE, lengths, missing, place, pull
from edgelm.data.sources import Source
from edgelm.errors import BadFile
from edgelm.files import sha256_bytes

CONTENT = b"rows\n" * 2000


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELM_DATA", raising=False)


@pytest.fixture
def sources(web):
    web.content = CONTENT
    return [Source(f"set/{n}", None, "", sha256_bytes(CONTENT), f"{web.url}/{n}") for n in range(AT_ONCE + 3)]


def test_all_are_fetched_and_every_byte_is_told(sources):
    told = {}
    assert pull(sources, lambda name, here, of: told.update({name: (here, of)})) == {}
    assert told == {source.name: (len(CONTENT), len(CONTENT)) for source in sources}
    assert {place(source).read_bytes() for source in sources} == {CONTENT}


def test_one_that_fails_does_not_stop_the_others(sources):
    wrong = Source("set/wrong", None, "", "0" * 64, sources[0].url)
    failed = pull([wrong, *sources])
    assert list(failed) == ["set/wrong"] and isinstance(failed["set/wrong"], BadFile)
    assert all(place(source).is_file() for source in sources)


def test_an_interrupt_ends_the_downloads_and_keeps_what_came(sources, web):
    web.slow = 0.05

    def told(name, here, of):
        if here:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(sources, told)
    left = list(place(sources[0]).parent.iterdir())
    assert left and all(path.name.endswith(".part") and 0 < path.stat().st_size < len(CONTENT) for path in left)
    web.slow = 0
    assert pull(sources) == {}


def test_what_is_missing_is_neither_in_the_folder_nor_in_the_cache(tmp_path, monkeypatch):
    known = {name: Source(name, None, "", "0" * 64, "https://example.org/x") for name in ("set/a", "set/b", "set/c")}
    monkeypatch.setattr("edgelm.data.folder.source", known.__getitem__)
    (tmp_path / "mine" / "set").mkdir(parents=True)
    (tmp_path / "mine" / "set" / "a").write_bytes(b"x")
    place(known["set/b"]).parent.mkdir(parents=True)
    place(known["set/b"]).write_bytes(b"x")
    data = DataFolder(tmp_path / "mine", offline=True)
    assert missing(data, known.values()) == [known["set/c"]]


def test_lengths_are_asked_for_in_order(sources):
    package = Source("x", None, "", "", "pypi:thing==1")
    assert lengths([sources[0], package]) == [len(CONTENT), None]
