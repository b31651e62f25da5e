from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import FAMILIES
from edgelm.compress.stream import speed as speeds
from edgelm.compress.stream.layer import Layer
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.speed import speed

Opened = Callable[[Checkpoint], Model]
TEXT = [5 + n % 200 for n in range(60)]


class Clock:
    """A clock on which each part that is timed takes as long as was said for what runs in it."""

    def __init__(self, took: Callable[[], float]) -> None:
        self.now, self.took, self.calls = 0.0, took, count()

    def __call__(self) -> float:
        if next(self.calls) % 2:  # the second look, when the part is done
            self.now += self.took()
        return self.now


@pytest.fixture
def llama(make_checkpoint: Callable[..., Any]) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, torch.Tensor]]:
    """What layers were run on: how many layers' worth of channels, how many tokens, what came out."""
    found: list[tuple[int, int, torch.Tensor]] = []
    real = Layer.output

    def output(self: Layer, passage: Any) -> torch.Tensor:
        made = real(self, passage)
        found.append((sum(tensor.numel() for tensor in self.tensors.values()), len(passage.x_TD), made))
        return made

    monkeypatch.setattr(Layer, "output", output)
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_token_behind_a_cache_is_the_last_of_the_passage(
    make_checkpoint: Callable[..., Any], opened: Opened, seen: list[tuple[int, int, torch.Tensor]], name: str
) -> None:
    """What is timed is the real thing: the same states as where the whole passage is run at once."""
    model = opened(Checkpoint(make_checkpoint(name)))
    whole = model.layer(0).output(model.enter(TEXT))
    seen.clear()
    made = speed(model, model, (TEXT, TEXT), torch.float16)
    alone = [states for _, tokens, states in seen if tokens == 1]
    passages = [states for _, tokens, states in seen if tokens == len(TEXT) - 1]
    assert len(alone) >= 3
    assert made["context"] == len(TEXT) - 1
    for states in alone:
        assert torch.allclose(states[0], whole[-1], atol=1e-5)
    for states in passages:
        assert torch.allclose(states, whole[:-1], atol=1e-5)


def test_layers_count_as_often_as_there_are_layers(llama: Checkpoint, opened: Opened) -> None:
    """On a clock on which every part takes 2 s: a model of four layers and a head takes 10 s, one of three 8 s."""
    base, result = opened(llama), opened(llama)
    result.keep_layers([0, 1, 3])
    made = speed(base, result, (TEXT, TEXT), torch.float16, Clock(lambda: 2.0))
    assert made["decode"] == pytest.approx({
        "ms_base": 10_000, "ms": 8000, "tokens_per_second_base": 0.1, "tokens_per_second": 0.125, "faster": 1.25,
    })  # fmt: skip
    assert made["prefill"]["ms_base"] == pytest.approx(10_000 / 59)
    assert made["prefill"]["faster"] == pytest.approx(1.25)
    assert (made["dtype"], made["device"], made["threads"]) == ("float32", "cpu", torch.get_num_threads())


def test_a_head_counts_by_its_rows(llama: Checkpoint, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "_BLOCK", 50)
    base, result = opened(llama), opened(llama)
    result.keep_rows(range(100))
    made = speed(base, result, (TEXT, [n % 100 for n in TEXT]), torch.float16, Clock(lambda: 1.0))
    rows = len(base.head()[0])
    assert made["decode"]["ms_base"] == pytest.approx(1000 * (4 + rows / 50))
    assert made["decode"]["ms"] == pytest.approx(1000 * (4 + 100 / 50))


def test_parts_of_one_shape_are_timed_once_and_others_take_turns(
    llama: Checkpoint, opened: Opened, make_checkpoint: Callable[..., Any],
    seen: list[tuple[int, int, torch.Tensor]],
) -> None:  # fmt: skip
    base, other = opened(llama), opened(Checkpoint(make_checkpoint("llama", intermediate_size=64)))
    speed(base, base, (TEXT, TEXT), torch.float16)
    assert len({weights for weights, _, _ in seen}) == 1
    alone = len(seen)
    seen.clear()
    speed(base, other, (TEXT, TEXT), torch.float16)
    assert len(seen) == 2 * alone
    turns = [weights for weights, tokens, _ in seen if tokens == 1]
    one, two = dict.fromkeys(turns)
    assert turns == [one, two] * 4  # the first turn does not count


def test_the_median_is_taken_and_the_first_turn_is_not(llama: Checkpoint, opened: Opened) -> None:
    """Of each kind of part the first turn is slow, and so is one of the three that count."""
    model = opened(llama)
    turns = iter([100.0, 1.0, 50.0, 1.0] * 3)
    made = speed(model, model, (TEXT, TEXT), torch.float16, Clock(lambda: next(turns)))
    assert made["decode"]["ms"] == pytest.approx(5000)
    assert next(turns, None) is None


@pytest.mark.parametrize(("first", "turns"), [(0.1, 15), (2.0, 5)])
def test_larger_layers_are_timed_more_often_unless_they_take_long(
    llama: Checkpoint, opened: Opened, monkeypatch: pytest.MonkeyPatch, first: float, turns: int
) -> None:
    monkeypatch.setattr(speeds, "_TINY", 100)
    clock = Clock(lambda: first)
    model = opened(llama)
    speed(model, model, (TEXT, TEXT), torch.float16, clock)
    assert next(clock.calls) == 2 * 3 * (1 + turns)


def test_short_texts_and_contexts_make_a_short_passage(llama: Checkpoint, opened: Opened) -> None:
    model = opened(llama)
    assert speed(model, model, (TEXT, TEXT[:8]), torch.float16)["context"] == 7
    assert speed(model, model, (TEXT * 6, TEXT * 6), torch.float16)["context"] == 255  # of the model's 256
