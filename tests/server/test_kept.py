"""What is alike for all is made once a moment, however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from edgelm.server.kept import Kept


class Maker:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> str:
        time.sleep(0.01)
        self.made += 1
        return f"text {self.made}"


def test_a_crowd_that_asks_at_once_has_one_text_made() -> None:
    kept, maker, texts = Kept(60), Maker(), list[str]()
    crowd = [threading.Thread(target=lambda: texts.append(kept.get("board", maker))) for _ in range(20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert texts == ["text 1"] * 20


def test_a_text_is_made_anew_when_its_time_is_over() -> None:
    now = [100.0]
    kept, maker = Kept(1.0, lambda: now[0]), Maker()
    for passed, text in ((0.0, "text 1"), (0.9, "text 1"), (1.2, "text 2"), (1.3, "text 2")):
        now[0] = 100.0 + passed
        assert kept.get("board", maker) == text
    assert kept.get("other", maker) == "text 3"


def test_nothing_is_kept_for_no_time() -> None:
    kept, maker = Kept(0), Maker()
    assert [kept.get("board", maker) for _ in range(2)] == ["text 1", "text 2"]


def test_addresses_without_end_fill_no_memory() -> None:
    kept = Kept(60)
    for number in range(1000):
        kept.get(("board", number), lambda: "x")
    assert len(kept._texts) <= 64


def test_what_cannot_be_made_is_not_kept() -> None:
    kept = Kept(60)
    fails: Callable[[], Any] = lambda: 1 / 0  # noqa: E731
    with pytest.raises(ZeroDivisionError):
        kept.get("board", fails)
    assert kept.get("board", lambda: "there") == "there"
