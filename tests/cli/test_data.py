"""`edgelm data`: what data there is and where, fetched or generated."""

import json

import pytest
from typer.testing import CliRunner

from edgelm.cli import data as module
from edgelm.cli.data import data as app
from edgelm.data.sources import sources
from edgelm.errors import MissingInput, Offline, UnknownName


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))


def _run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)


def _rows(*arguments):
    return json.loads(_run("ls", *arguments, "--json").stdout)


def test_every_source_is_listed_with_its_digest(shared):
    rows = {row["file"]: row for row in _rows("--data", shared / "data")}
    assert set(rows) == set(sources())
    assert rows["gsm8k/test.jsonl"]["here"] == "yes" and rows["gsm8k/test.jsonl"]["licence"] == "MIT"


def test_a_set_or_a_file_can_be_named():
    assert {row["file"].partition("/")[0] for row in _rows("chid")} == {"chid"}
    assert [row["here"] for row in _rows("gsm8k/test.jsonl")] == ["no"]
    with pytest.raises(UnknownName, match="no data set or source called 'gsm9k'"):
        _run("ls", "gsm9k")


def test_sets_are_summed_up_for_people(shared):
    out = _run("ls", "--data", shared / "data").stdout
    assert "gsm8k" in out and "openai/grade-school-math" in out


def test_pulling_offline_tries_all_and_fails_with_the_first():
    with pytest.raises(Offline, match="gsm8k/"):
        _run("pull", "gsm8k", "--offline")


def test_pulling_what_is_here_fetches_nothing(shared, monkeypatch):
    monkeypatch.setattr("edgelm.data.folder.fetch", lambda *_: pytest.fail("the network was used"))
    assert _run("pull", "gsm8k/test.jsonl", "--data", shared / "data").exception is None


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInput, match="no data folder"):
        _run("ls", "--data", tmp_path / "none")


def test_the_miniature_suite_is_written_and_read_by_the_same_folder(tmp_path):
    _run("miniature", "-o", tmp_path / "suite", "--rows", 3)
    folder = module.DataFolder(tmp_path / "suite", offline=True)
    assert folder.suite.startswith("miniature") and len(folder.jsonl("gsm8k/test.jsonl")) == 3
