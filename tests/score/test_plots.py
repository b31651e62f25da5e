import re
import sys
from xml.etree import ElementTree

import pytest

from edgelm.errors import MissingPackage
from edgelm.score import plots
from edgelm.score.labels import place
from edgelm.score.plots import Point, frontier, scatter

POINTS = [
    Point(100, 50, "Aster", "board"), Point(140, 44, "Birch", "board"), Point(120, 40, "Cedar", "board"),
    Point(150, 10, "Aster", "other"), Point(60, 61, "base", "reference"),
]  # fmt: skip


def draw(points=POINTS, title="Score over speed"):
    return scatter(points, x_label="Throughput", better="more", title=title)


def test_the_frontier_is_what_none_beats_on_both():
    assert [(p.label, p.kind) for p in frontier(POINTS, "more")] == [
        ("Aster", "other"), ("Birch", "board"), ("Aster", "board"),
    ]  # fmt: skip
    assert [p.label for p in frontier(POINTS, "less")] == ["Aster"]
    assert frontier([], "more") == []


def test_equal_points_give_equal_bytes_and_a_well_formed_element():
    assert draw() == draw()
    root = ElementTree.fromstring(draw())
    assert (root.tag, root.get("role")) == ("svg", "img")
    assert root.get("aria-label").startswith("Score over speed. Aster: 50.00 % at 100; Birch: 44.00 % at 140;")
    texts = "".join(root.itertext())
    assert all(text in texts for text in ("Aster", "Birch", "Cedar", "base", "Throughput", "Mean score, %"))


def test_colours_and_fonts_are_the_pages():
    svg = draw()
    assert set(re.findall(r"var\(--(\w+)\)", svg)) >= {"ink", "muted", "line", "accent", "reference", "paper"}
    assert not re.search(r"#0000|font-family|http|xmlns|<style", svg)


def test_two_drawings_share_no_id():
    first, second = (set(re.findall(r'id="([^"]+)"', draw(title=title))) for title in ("One", "Two"))
    assert first and not first & second


def test_names_are_text_not_markup_nor_mathematics():
    names = ["<script>alert(1)</script>", "a $\\alpha$ b", "守株待兔", "x" * 40, 'quote"&']
    svg = draw([Point(i, i * i, name, "board") for i, name in enumerate(names)])
    texts = list(ElementTree.fromstring(svg).itertext())
    assert names[1] in texts and names[2] in texts and names[4] in texts
    assert "x" * 21 + "…" in texts
    assert "<script" not in svg


def test_one_point_can_be_drawn():
    assert "Aster" in draw(POINTS[:1])


def test_without_matplotlib_the_mend_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackage, match="matplotlib") as caught:
        draw()
    assert "[page]" in caught.value.mend


def test_labels_are_told_where_the_frontier_runs(monkeypatch):
    told = []
    monkeypatch.setattr(plots, "place", lambda *given: told.append(given) or place(*given))
    scatter([*POINTS[:2], Point(160, 60, "Dogwood", "board")], x_label="Memory", better="less", title="t")
    [(labels, marks, *_, lines)] = told
    (aster, _, dogwood) = marks
    assert [line[:2] for line in lines] == [(aster[0], aster[1] - 2), (dogwood[0] - 2, aster[1])]
    assert [line[2:] for line in lines] == [(dogwood[0], aster[1] + 2), (dogwood[0] + 2, dogwood[1])]
    assert len(labels) == 3
