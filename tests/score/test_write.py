import csv
import io
import json
from fractions import Fraction

import pytest

from edgelm.errors import BadOption
from edgelm.score.entries import Entry
from edgelm.score.publish import PROVISIONAL
from edgelm.score.standings import Standings, standings
from edgelm.score.write import board_csv, board_markdown, write_standings

FIELD = {"A|x": [(Fraction(100, 3), 50, Fraction("23.097"))], "=B": [(40, 50, None)], "C": [(1, 2, 3)]}


@pytest.fixture
def made(entries):
    return entries(FIELD)


@pytest.fixture
def standing(rules, track, made):
    return standings(rules, track, made)


def test_the_folder_holds_every_form_and_reads_back(rules, track, standing, made, tmp_path):
    out = tmp_path / "board"
    write_standings(out, rules, standing, made, PROVISIONAL, page="<p>")
    names = {path.name for path in out.iterdir()}
    assert names == {"standings.json", "entries.json", "decisions.json", "board.csv", "board.md", "index.html"}
    assert Standings.model_validate(json.loads((out / "standings.json").read_bytes())) == standing
    kept = [Entry.model_validate(row) for row in json.loads((out / "entries.json").read_bytes())]
    assert standings(rules, track, kept).to_bytes() == (out / "standings.json").read_bytes()


def test_without_a_page_there_is_no_page(rules, standing, made, tmp_path):
    write_standings(tmp_path / "board", rules, standing, made, PROVISIONAL)
    assert not (tmp_path / "board/index.html").exists()


def test_an_older_board_is_kept(rules, standing, made, tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board/standings.json").write_text("mine")
    with pytest.raises(BadOption, match="exists already"):
        write_standings(tmp_path / "board", rules, standing, made, PROVISIONAL)
    assert (tmp_path / "board/standings.json").read_text() == "mine"


def test_csv_is_exact(rules, standing):
    first, second, third = csv.DictReader(io.StringIO(board_csv(rules, standing)))
    assert (first["team"], first["total"], first["first score"], first["throughput score"]) == (
        "A|x", "77/2", "100/3", "231/10",
    )  # fmt: skip
    assert (first["second place"], first["second tied"], first["second points"]) == ("1", "2", "19/2")
    assert (second["team"], third["team"]) == ("C", "'=B")
    assert (third["throughput score"], third["throughput place"], third["throughput points"]) == ("", "", "0")


def test_markdown_shows_places_and_keeps_names_whole(rules, standing):
    lines = board_markdown(rules, standing).splitlines()
    assert lines[4].endswith("Memory by host-peak, throughput measured on the host.")
    assert lines[6] == "| rank | team | total | first | second | throughput |"
    assert lines[8] == r"| 1 | A\|x | 38.50 | 33.33 (2) | 50.00 (=1) | 23.1 (1) |"
    assert lines[10] == "| 3 | =B | 19.50 | 40.00 (1) | 50.00 (=1) | – |"


def test_markdown_says_what_each_rule_would_say(rules, standing):
    assert board_markdown(rules, standing).splitlines()[-4:] == [
        "| :--- | :--- | :--- | :--- | ---: |",
        r"| pool (in force) | A\|x | A\|x, C, =B | none | 0 |",
        r"| double-pass | A\|x | A\|x, C, =B | none | 0 |",
        r"| guaranteed | A\|x | A\|x, C, =B | none | 0 |",
    ]


def test_markdown_of_a_live_board_says_so_far(rules, track, made):
    live = board_markdown(rules, standings(rules, track, made, state="live"))
    assert "State: live, revision 1: totals so far, of 40 points." in live
