from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.depth import Depth
from edgelm.compress.healing.block import Stream, relative_error
from edgelm.compress.stream.model import Model

LAYERS = 6
ANGLE: Any = {"score": "angle", "replace": True, "force": True, "learn_tokens": 6_000, "lr": 3e-3}
Layers = Callable[[str], Model]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Path], family: str) -> Checkpoint:
    return Checkpoint(make_checkpoint(family, num_hidden_layers=LAYERS))


@pytest.fixture
def named(checkpoint: Checkpoint, tmp_path: Path) -> Layers:
    """The model, about to be cut in a folder of that name."""

    def made(name: str) -> Model:
        model = Model.of(checkpoint)
        model.folder = tmp_path / name
        model.folder.mkdir(exist_ok=True)
        return model

    return made


def error(model: Model, behind: int, whole: Model, end: int, text: Sequence[Sequence[int]]) -> float:
    """How far the stream is from the whole model's, behind so many layers of each."""
    short, long = Stream.of(model, text), Stream.of(whole, text)
    short.run_to(behind)
    long.run_to(end)
    parts = [relative_error(one.x_TD, other.x_TD) for one, other in zip(short.passages, long.passages, strict=True)]
    return float(torch.stack(parts).sum()) / sum(map(len, text))


def test_the_block_is_nearer_than_without(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    learned, plain, whole = opened(checkpoint), opened(checkpoint), opened(checkpoint)
    record = Depth(2, **ANGLE).apply(learned, batches, silent)
    plain.keep_layers([layer for layer in range(LAYERS) if layer not in record["dropped"]])
    layer, end = record["dropped"][0] - 1, record["dropped"][-1] + 1
    before, after = (error(model, layer + 1, whole, end, batches) for model in (plain, learned))
    [said] = record["replaced"]
    assert after < 0.8 * before
    assert said["loss_last"] < 0.8 * said["loss_first"]
    assert said["loss_first"] == pytest.approx(before, rel=0.2)  # on the first few sequences
    assert said["updates"] == -(-6_000 // (4 * 44))


@pytest.mark.parametrize("family", ["llama"])
def test_each_gap_is_closed_behind_the_earlier_ones(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers with one between them go: the second learns from what the first has become."""
    chosen = {"dropped": [1, 3], "scores": []}
    monkeypatch.setattr(Depth, "_chosen", lambda self, model, batches, progress: dict(chosen))
    learned, plain, whole = opened(checkpoint), opened(checkpoint), opened(checkpoint)
    record = Depth(2, replace=True, force=True, learn_tokens=6_000, lr=3e-3).apply(learned, batches, silent)
    assert [(said["layer"], said["stands_for"]) for said in record["replaced"]] == [(0, [1]), (2, [3])]
    plain.keep_layers([0, 2, 4, 5])
    for behind, end in ((1, 2), (2, 4), (4, 6)):
        assert error(learned, behind, whole, end, batches) < 0.8 * error(plain, behind, whole, end, batches)
    assert record["replaced"][1]["loss_first"] < error(plain, 2, whole, 4, batches)


@pytest.mark.parametrize("family", ["qwen2"])
@pytest.mark.parametrize("updates", [0, 5])
def test_killed_and_gone_on_is_the_same(
    named: Layers, batches: list[list[int]], silent: Progress, updates: int
) -> None:
    def dying(what: str, done: int, total: int) -> None:
        if what.startswith("depth: teach") and done == updates:
            raise Killed

    step, whole = Depth(2, **{**ANGLE, "learn_tokens": 1_500}), named("whole")
    record = step.apply(whole, batches, silent)
    with pytest.raises(Killed):
        step.apply(named("out"), batches, dying)
    resumed = named("out")
    assert step.apply(resumed, batches, silent) == record
    again = named("out")  # once more, when all is there
    assert step.apply(again, batches, dying if updates else silent) == record
    for name in whole.names:
        assert torch.equal(whole.outer(name), resumed.outer(name))
        assert torch.equal(whole.outer(name), again.outer(name))
