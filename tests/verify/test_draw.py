"""Which stored answers are made again: enough, from all tasks, whole batches, and foreseen by nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgelm.evaluate.questions import Questions, Selection, questions
from edgelm.plugins import parse
from edgelm.verify.draw import drawn
from edgelm.verify.seed import Seed

SEED = Seed(bytes(range(16)))


@pytest.fixture(scope="module")
def asked(suite: Any) -> list[Questions]:
    return [questions(parse("tasks", task), suite, Selection(), {}) for task in ("commonsenseqa", "gsm8k", "chid")]


def test_units_are_whole_batches_from_all_tasks_and_as_many_prompts_as_wanted(asked: list[Questions]) -> None:
    chosen = drawn(SEED, "digest", asked, 8, 32)
    assert [len(unit.requests) for unit in chosen] == [8] * 4
    assert {unit.group[0] for unit in chosen} == {"commonsenseqa", "gsm8k", "chid"}
    for unit in chosen:
        places = [request.index for request in unit.requests]
        assert places == list(range(places[0], places[0] + 8)) and places[0] % 8 == 0
    assert len({request.key for unit in chosen for request in unit.requests}) == 32


def test_the_draw_follows_from_seed_and_submission_alone(asked: list[Questions]) -> None:
    chosen = drawn(SEED, "digest", asked, 1, 32)
    assert chosen == drawn(SEED, "digest", asked[::-1], 1, 32)
    assert chosen != drawn(SEED, "another", asked, 1, 32)
    assert chosen != drawn(Seed(bytes(16)), "digest", asked, 1, 32)
    assert chosen == drawn(SEED, "digest", asked, 1, 64)[: len(chosen)], "more prompts are those and others"


def test_all_are_drawn_if_there_are_fewer_and_equal_questions_once(asked: list[Questions]) -> None:
    few = [replace(each, rows=[*each.rows[:3], (each.rows[3][0], each.rows[0][1])]) for each in asked]
    assert sum(len(unit.requests) for unit in drawn(SEED, "digest", few, 8, 32)) == 9
    assert drawn(SEED, "digest", [], 8, 32) == []
