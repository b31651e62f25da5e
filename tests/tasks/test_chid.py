"""CHID: which letter of an answer counts."""

import json

import pytest

from edgelm.chat import ask
from edgelm.errors import BadFile
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Sample
from edgelm.tasks.chid import CHID

IDIOMS = ["画蛇添足", "守株待兔", "亡羊补牢", "井底之蛙", "对牛弹琴", "狐假虎威", "一箭双雕"]


@pytest.mark.parametrize(("answer", "right"), [
    ("B", True), ("（B）", True), ("答案是B。", True), ("b, that is B", True), ("应填 守株待兔，选 B。", True),
    ("BA", True),
    ("The answer is B", False), ("守株待兔", False), ("b", False), ("", False), ("Å B", False), ("Я: B", False),
    ("AB", False),
    ("Ｂ", False), ("1. B", True), ("ǅ B", True),
])  # fmt: skip
def test_the_first_capital_of_any_script_counts(answer, right):
    assert CHID().score(Sample("chid-0", 0, ask("?"), "B"), answer) == (FULL_MARK if right else 0)


@pytest.mark.parametrize(("answer", "right"), [
    ("The answer is B", True), ("守株待兔", True), ("b", True), ("Å B", True), ("Ｂ", True), ("答案：守株待兔。", True),
    ("A不对，应选B", True), ("A", False), ("画蛇添足，不是守株待兔", False), ("The answer", False), ("", False),
    ("AB", False),
])  # fmt: skip
def test_the_fixed_scorer_reads_letters_and_idioms(answer, right):
    listed = "\n".join(f"{letter}. {idiom}" for letter, idiom in zip("ABCDEFG", IDIOMS, strict=True))
    sample = Sample("chid-0", 0, ask(f"他______。\n请选择______处所填的词\n{listed}\n请从”A“中进行选择。答："), "B")
    assert CHID(scorer="fixed").score(sample, answer) == (FULL_MARK if right else 0)


def _row(**changes):
    row = {"id": 1, "candidates": IDIOMS, "content": "他不干活，#idiom#。", "answer": 1}
    return json.dumps(row | changes, ensure_ascii=False).encode()


def test_rows_become_questions_without_exemplars(own):
    (sample,) = CHID().samples(own({"chid/test_public.json": _row()}))
    assert sample.reference == "B" and sample.id == "chid-0"
    text = sample.prompt.base_text()
    assert text.startswith("他不干活，______。\n请选择______处所填的词\nA. 画蛇添足\nB. 守株待兔\n")
    assert text.endswith("G. 一箭双雕\n请从”A“，”B“，”C“，”D“，”E“，”F“，”G“中进行选择。答：")


def test_the_dev_rows_are_a_task_of_their_own(own):
    (sample,) = CHID(split="dev").samples(own({"chid/dev_few_all.json": _row()}))
    assert sample.id == "chid-dev-0" and CHID(split="dev").label == "chid-dev"


@pytest.mark.parametrize("changes", [
    {"answer": 7}, {"answer": -1}, {"answer": "1"}, {"candidates": IDIOMS[:6]}, {"candidates": [1] * 7},
    {"candidates": "ABCDEFG"}, {"content": None},
])  # fmt: skip
def test_a_row_that_is_not_of_the_format_is_named(own, changes):
    with pytest.raises(BadFile, match="row 1 of"):
        CHID().samples(own({"chid/test_public.json": _row(**changes)}))
