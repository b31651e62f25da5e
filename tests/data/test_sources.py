"""The table of sources: complete, consistent, and true of the real data."""

import re

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.sources import source, sources
from edgelm.errors import UnknownName


def test_every_source_has_a_location_a_digest_and_a_licence():
    for name, entry in sources().items():
        assert entry.name == name and entry.licence
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.url.startswith(("https://", "pypi:"))
        assert entry.rows is None or entry.rows > 0
        assert not name.startswith("/") and ".." not in name


def test_sets_and_publishers():
    assert source("gsm8k/test.jsonl").set == "gsm8k"
    assert {entry.set for entry in sources().values()} >= {"gsm8k", "chid", "commonsenseqa", "bbh", "humaneval"}
    assert all("/" in entry.publisher for entry in sources().values() if "githubusercontent" in entry.url)


def test_an_unknown_source_brings_the_nearest():
    with pytest.raises(UnknownName) as caught:
        source("gsm8k/tset.jsonl")
    assert "gsm8k/test.jsonl" in caught.value.mend


@pytest.mark.parametrize("name", ["gsm8k/test.jsonl", "chid/test_public.json", "commonsenseqa/dev_rand_split.jsonl"])
def test_the_real_files_are_the_pinned_ones(shared, name):
    assert len(DataFolder(shared / "data", offline=True).jsonl(name)) == source(name).rows
