from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgelm.compress.healing import loop
from edgelm.compress.healing.loop import learn, share
from edgelm.errors import BadOption

LESSONS = [[number, number + 1] for number in range(11)]


class Killed(BaseException):
    """Stands for the end of the process."""


def task(seed: int = 0) -> tuple[nn.Module, Callable[[Sequence[int]], Iterator[Tensor]]]:
    """A matrix that is to double vectors."""
    torch.manual_seed(seed)
    learner, vectors = nn.Linear(6, 6), torch.randn(12, 6)

    def passes(lesson: Sequence[int]) -> Iterator[Tensor]:
        for number in lesson:
            yield (learner(vectors[number]) - 2 * vectors[number]).square().mean() / len(lesson)

    return learner, passes


def dying(update: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        if done == update:
            raise Killed

    return told


def test_the_rate_rises_and_falls() -> None:
    shares = [share(update, 200) for update in range(200)]
    assert shares[0] == 0.1
    peak = shares.index(max(shares))
    assert peak == 9
    assert shares[:10] == sorted(shares[:10])
    assert shares[9:] == sorted(shares[9:], reverse=True)
    assert shares[-1] == pytest.approx(0.1, abs=1e-3)
    assert share(0, 1) == 1


def test_it_learns() -> None:
    learner, passes = task()
    losses = learn(learner, LESSONS * 40, passes, 0.02, lambda update: None)
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("update", [1, 3, 4, 10])
def test_killed_and_gone_on_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int) -> None:
    monkeypatch.setattr(loop, "EVERY", 3)
    whole, passes = task()
    expected = learn(whole, LESSONS, passes, 0.1, lambda update: None)
    killed, passes = task()
    with pytest.raises(Killed):
        learn(killed, LESSONS, passes, 0.1, dying(update), tmp_path / "states")
    resumed, passes = task()
    updates: list[int] = []
    losses = learn(resumed, LESSONS, passes, 0.1, updates.append, tmp_path / "states")
    assert updates == list(range(update // 3 * 3, 11))
    assert losses == expected
    assert torch.equal(resumed.weight, whole.weight)  # type: ignore[arg-type]
    assert learn(task()[0], LESSONS, passes, 0.1, dying(0), tmp_path / "states") == expected  # nothing is left to do


def test_a_loss_that_is_no_number_ends_it() -> None:
    learner, _ = task()
    with pytest.raises(BadOption, match="no number") as caught:
        learn(learner, LESSONS, lambda lesson: iter([learner.weight.sum() * torch.nan]), 0.1, lambda update: None)
    assert "lr" in caught.value.mend
