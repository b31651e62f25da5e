"""Units, and hashes of runs of units."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.train.overlap import grams
from edgelm.train.overlap.grams import Members, Runs, joined, unit_hashes, units

COUNTS = np.random.default_rng(0).integers(0, 1 << 64, 40, np.uint64)


@pytest.mark.parametrize(("text", "expected"), [
    ("Don't  stop: well-known, it’s 3.5!", "dont stop well known its 3 5"),
    ("我爱Python3，真的。", "我 爱 python3 真 的"),
    ("ＦＵＬＬ　ｗｉｄｔｈ １２", "full width 12"),
    ("snake_case(x)", "snake case x"),
    ("Straße STRASSE", "strasse strasse"),
    ("ひらがなとカタカナー々", "ひ ら が な と カ タ カ ナ ー 々"),
    ("한국어 문장", "한국어 문장"),
    ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
    ("“quoted” – dash… • 20°", "quoted dash 20"),
    (" ,;\n", ""),
])  # fmt: skip
def test_units(text, expected):
    assert units(text) == expected.split()


@given(st.text(st.characters(max_codepoint=0x2100)))
def test_plain_text_is_cut_as_all_other_text(text):
    assert units(text) == units(f"{text} 字")[:-1]


@given(st.text(st.sampled_from("aB1é ,'’“–字。_\n")))
def test_case_makes_no_difference(text):
    assert units(text) == units(text.upper()) == units(text.lower())


def test_a_run_has_the_same_hash_wherever_it_stands():
    run = COUNTS[5:18]
    alone = Runs(run).of(13)
    assert alone.shape == (1,)
    assert Runs(COUNTS).of(13)[5] == alone[0] == Runs(COUNTS).at(np.array([5]), 13)[0]
    assert len(set(Runs(COUNTS).of(13).tolist())) == 40 - 12


def test_a_run_has_the_hash_of_its_definition():
    base, mask = grams._BASE, (1 << 64) - 1
    expected = sum(int(unit) * pow(base, k, 1 << 64) for k, unit in enumerate(COUNTS[7:20])) & mask
    assert int(Runs(COUNTS).of(13)[7]) == expected


def test_order_and_length_count():
    assert Runs(COUNTS[:3]).of(3)[0] != Runs(COUNTS[2::-1]).of(3)[0]
    assert Runs(COUNTS[:2]).of(3).shape == Runs(COUNTS[:0]).of(3).shape == (0,)


def test_every_process_finds_the_same_hashes():
    text = "Ein kurzer Satz, 字 für alle"
    code = f"from edgelm.train.overlap.grams import *; print(Runs(unit_hashes(units({text!r}))).of(6))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONHASHSEED": "7"}).stdout  # fmt: skip
    assert made.strip() == str(Runs(unit_hashes(units("Ein kurzer Satz, 字 für alle"))).of(6))
    assert int(unit_hashes(["the"])[0]) == 3331141520948189790


def test_what_is_remembered_stays_bounded(monkeypatch):
    monkeypatch.setattr(grams, "_MOST_CACHED", 3)
    words = [f"word{number}" for number in range(10)]
    assert len(set(unit_hashes(words).tolist())) == 10
    assert len(grams._remembered) <= 3
    np.testing.assert_array_equal(unit_hashes(words), unit_hashes(words))


@given(st.sets(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_members_are_those_of_the_set(members, others):
    asked = [*others, *members, *others]
    found = Members(np.array(sorted(members), np.uint64)).places(np.array(asked, np.uint64))
    assert found.tolist() == [place for place, value in enumerate(asked) if value in members]


def test_no_run_crosses_the_border_of_a_text():
    first, second = COUNTS[:10], COUNTS[10:20]
    together, starts = joined([first, second, COUNTS[:0]])
    assert starts.tolist() == [0, 11, 22]
    runs = set(Runs(together).of(13).tolist())
    assert not runs & set(Runs(COUNTS[:20]).of(13).tolist())
    assert joined([])[0].shape == (0,)
