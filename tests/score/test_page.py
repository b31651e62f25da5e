import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgelm.errors import MissingPackage
from edgelm.rules.base import Rules
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.page import render
from edgelm.score.standings import standings

FIELD = {"Aster": [(50, 40, 312), (45, 41, 300)], "Birch & Co": [(30, None, 400)], "<b>Cedar</b>": [(50, 39, 100)]}
VOID_ELEMENTS = {"meta", "br", "link", "img", "hr"}


@pytest.fixture(scope="module")
def page(rules, track, entries):
    made = entries(FIELD)
    [base] = entries({"mini-base": [(60, 60, 200)]})
    return render(rules, standings(rules, track, made), made, base)


class Reader(HTMLParser):
    """Checks that elements nest, and gathers tables as rows of text."""

    def __init__(self):
        super().__init__()
        self.open, self.tables, self.ids = [], [], []
        self.headers_without_scope = 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self.headers_without_scope += tag == "th" and "scope" not in attributes

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data.strip() + " "


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_nothing_comes_from_elsewhere(page):
    assert not re.search(r"https?:|//\w|<script|<link|<img|@import|url\((?!#)|src=", page)


def test_every_team_and_the_reference_are_named(page):
    for name in ("Aster", "Birch &amp; Co", "&lt;b&gt;Cedar&lt;/b&gt;", "mini-base"):
        assert page.count(name) >= 3
    assert "<b>Cedar" not in page


def test_tables_say_what_the_standings_say(page):
    reader = read(page)
    board, cost, places, submissions, speed, values, sensitivity = (
        [[re.sub(r"\s+", " ", cell).strip() for cell in row] for row in table] for table in reader.tables
    )
    assert board[0] == [
        "Rank", "Team", "Total of 40", "first of 10", "second of 10", "throughput of 20",
    ]  # fmt: skip
    assert board[1] == ["1", "Aster", "36.50", "9.50 =1st", "9.00 2nd", "18.00 2nd"]
    assert cost[1] == ["mini-base not ranked", "60.00", "60.00", "60.00", "200 tokens/s", "1 B", "0", "0 B"]
    assert [row[0] for row in cost[2:]] == [row[1] for row in board[1:]]
    assert ["Birch & Co", "30.00 4th", "–", "400 1st"] in places
    assert len(submissions) == 1 + 4
    assert [row[:3] for row in values if row[0] == "Aster"] == [
        ["Aster", "Aster1 on the board : larger value", "36.50"], ["Aster", "Aster2", "34.00"],
    ]  # fmt: skip
    assert [row[:3] for row in speed[1:] if row[0] == "Aster"] == [["Aster", f"model Aster{n}", "–"] for n in (1, 2)]
    assert [row[0].split()[0] for row in sensitivity[1:]] == ["pool", "double-pass", "guaranteed"]


def test_tables_have_scopes_and_captions_and_ids_are_unique(page):
    reader = read(page)
    assert reader.headers_without_scope == 0
    assert page.count("<caption") == len(reader.tables) == 7
    assert len(reader.ids) == len(set(reader.ids))
    assert page.count('role="img" aria-label="Mean score over') == 2


def test_equal_input_gives_equal_bytes(rules, track, entries, page):
    made = entries(FIELD)
    [base] = entries({"mini-base": [(60, 60, 200)]})
    assert render(rules, standings(rules, track, made), reversed(made), base) == page


def test_light_and_dark_and_small_screens_are_served(page):
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert "@media (max-width: 40rem)" in page


def test_a_pinned_cell_does_not_cover_the_line_above_it(page):
    assert "border-collapse: collapse" not in page  # collapsed lines lie below the cells that stick
    assert re.search(r"\.pin { position: sticky; left: 0; background: linear-gradient.* 0 2px", page)


def test_without_a_reference_there_is_no_comparison(rules, track, entries):
    made = entries(FIELD)
    page = render(rules, standings(rules, track, made), made)
    assert "What compression cost" not in page
    assert len(read(page).tables) == 6


@pytest.mark.parametrize("name", ["base", "uncompressed", "phi-2"])
def test_the_comparison_reads_well_whatever_the_reference_is_called(rules, track, entries, name):
    made = entries(FIELD)
    [reference] = entries({name: [(60, 60, 200)]})
    page = render(rules, standings(rules, track, made), made, reference)
    assert f"Each team’s entry beside the reference “{name}”, which is not compressed: scores" in page


def test_what_is_out_of_competition_is_listed_with_the_reason(rules, track, entries):
    made = entries(FIELD)
    heavy = entries({"Heavy": [(99, 99, 999)]}, memory=rules.memory_limit)
    page = render(rules, standings(rules, track, [*made, *heavy]), [*made, *heavy])
    assert "out of competition" in page
    assert "12,884,901,888 bytes is not below the limit" in page


def test_an_empty_field_gives_a_page(rules, track):
    page = render(rules, standings(rules, track, []), [])
    assert "No submission is in competition yet." in page
    assert "<svg" not in page


def test_a_total_is_given_exactly_where_decimals_do_not_reach(rules, track, entries):
    rules = replace(rules, tasks=("first",))
    made = entries({name: [(5,)] for name in "ABCDEFGHIJKL"}, rules)
    assert "55/12" in render(rules, standings(rules, track, made), made)


def test_the_whole_competition_fits_the_page(entries):
    rules = Neurips2024()
    made = entries({f"team {n}": [[n % 7] * 9] for n in range(20)}, rules)
    page = render(rules, standings(rules, rules.track("from-scratch"), made, void=["longbench"]), made)
    read(page)
    assert "Void: longbench." in page
    assert all(f"team {n}" in page for n in range(20))


def test_without_jinja_the_mend_is_said(monkeypatch, rules, track):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingPackage, match="jinja2"):
        render(rules, standings(rules, track, []), [])


@pytest.mark.parametrize(
    ("state", "words"),
    [("live", ["of 40 points so far", "nothing of a hold-out is shown"]), ("frozen", ["the last live board"]),
     ("provisional", ["objections may be raised for 7 days"]), ("final", ["won", "nothing is computed again"])],
)  # fmt: skip
def test_the_state_is_said(rules, track, entries, state, words):
    made = entries(FIELD)
    page = render(rules, standings(rules, track, made, state=state, revision=3), made)
    assert all(word in page for word in [*words, f"{state}, revision 3"])


def test_meter_and_source_are_printed(rules, track, entries):
    rules = replace(rules, memory_meter="phone", replacement_meter="host-peak", throughput_source="phone")
    [entry] = entries({"A": [(1, 1, 1)]})
    metered = {"model": entry.models["model"].model_copy(update={"meter": "host-peak"})}
    made = [entry.model_copy(update={"models": metered})]
    page = render(rules, standings(rules, track, made), made)
    assert "the meter phone, or host-peak where that cannot see; throughput is measured on the phone" in page
    assert "<small>host-peak</small>" in page
    assert "Points of every submission" not in page


def test_before_the_hold_outs_are_shown_no_figure_rests_on_them(track, entries):
    rules = Rules(name="three", tracks=(track,), tasks=("first", "holdout"), holdouts=("holdout",))
    made = entries({"A": [(40, 97, 1)], "B": [(20, 93, 2)]}, rules)
    [base] = entries({"base": [(50, 91, 3)]}, rules)
    live = render(rules, standings(rules, track, made, state="live"), made, base)
    assert not any(figure in live for figure in ("97.00", "93.00", "91.00", "68.50", "70.50"))
    assert "A: 40.00 %" in live
    assert "97.00" in render(rules, standings(rules, track, made), made, base)
