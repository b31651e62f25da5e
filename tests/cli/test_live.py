import pytest

from edgelm.cli import live


@pytest.fixture
def seen(monkeypatch):
    """What was noted, what moved the bars, and the object that does both, where no bar is watched."""
    monkeypatch.setattr(live, "watched", lambda: False)
    notes, moves = [], []
    return notes, moves, live.Live(lambda *said: moves.append(said), notes.append)


METRICS = {"step": 2, "tokens": 100, "loss": 4.5, "tokens_per_s": 2100.0, "mfu": None}


def test_the_bar_shows_loss_and_speed(seen):
    _, moves, shown = seen
    shown.progress("pretrain", 1, 10)
    shown.told("pretrain", METRICS)
    assert moves == [("pretrain", 1, 10), ("pretrain", 2, 10, "loss 4.500  2.1K tokens/s")]


def test_the_share_of_the_peak_is_shown_where_it_is_known(seen):
    _, moves, shown = seen
    shown.told("pretrain", METRICS | {"mfu": 0.312})
    assert moves[-1][-1] == "loss 4.500  2.1K tokens/s  MFU 31%"


def test_a_log_has_a_line_for_each_look_at_held_out_text_and_not_for_each_update(seen):
    notes, _, shown = seen
    shown.progress("pretrain", 1, 10)
    for step in (1, 2, 3):
        shown.told("pretrain", METRICS | {"step": step})
    assert notes == []
    shown.told("pretrain", METRICS | {"step": 4, "held": {"c4": {"loss": 4.0, "bpb": 1.5}}})
    (line,) = notes
    assert line.startswith("pretrain: update 4 of 10, loss 4.500, 2.1K tokens/s, c4 1.500 bits/byte")


def test_a_log_has_a_line_when_nothing_was_said_for_long(seen, monkeypatch):
    notes, _, shown = seen
    monkeypatch.setattr(live, "EVERY", 0.0)
    shown.progress("corpus", 30, 120)
    assert notes == ["corpus: 25%"]


def test_where_a_person_watches_there_are_no_lines(seen, monkeypatch):
    notes, _, shown = seen
    monkeypatch.setattr(live, "watched", lambda: True)
    monkeypatch.setattr(live, "EVERY", 0.0)
    shown.progress("corpus", 30, 120)
    assert notes == []
