"""A report's views: written from the folder alone, and without jinja2 the tables still."""

import sys

import pytest

from edgelm.chat import ask
from edgelm.errors import MissingInput
from edgelm.evaluate.views import write_views
from edgelm.files import JsonLog
from edgelm.tasks.base import Sample


@pytest.fixture
def folder(tmp_path, make_answers, make_score, write_report):
    answers = make_answers([1, 0])
    return write_report(tmp_path / "report", {"gsm8k": (make_score(answers), answers)})


def test_three_files_are_written_and_the_same_again(folder):
    assert write_views(folder) == []
    first = {name: (folder / name).read_bytes() for name in ("results.csv", "summary.csv", "index.html")}
    assert b",50.00," in first["results.csv"] and b"gsm8k,1d7fe4,accuracy,gen,50.00" in first["summary.csv"]
    assert write_views(folder) == []
    assert {name: (folder / name).read_bytes() for name in first} == first


def test_the_page_says_how_many_answers_have_the_form(folder):
    samples = [Sample(f"gsm8k-{n}", n, ask("How many?"), "2") for n in range(2)]
    write_views(folder, {"gsm8k": samples})
    page = (folder / "index.html").read_text()
    assert 'data-of="In form">100.0<' in page
    write_views(folder, {})
    assert "In form" not in (folder / "index.html").read_text()


def test_without_jinja2_the_tables_are_written_and_a_note_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    [said] = write_views(folder)
    assert "jinja2" in said and "pip install -e '.[page]'" in said
    assert (folder / "summary.csv").is_file() and not (folder / "index.html").exists()


def test_the_seconds_of_all_runs_add_up(folder):
    with JsonLog(folder / "runs.jsonl") as log:
        for seconds in (100.0, 50.0):
            log.append([{"seconds": {"gsm8k": seconds}, "loading_seconds": 2.5}])
    write_views(folder)
    page = (folder / "index.html").read_text()
    assert "2 min 30 s" in page and "loading took 5.0 s more" in page


def test_without_a_report_there_is_nothing_to_show(tmp_path):
    with pytest.raises(MissingInput, match="no finished report"):
        write_views(tmp_path)
