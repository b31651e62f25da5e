"""A run of `width:hidden` that was killed, and the basis that outlives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.maths.hidden import slice_hidden
from edgelm.compress.maths.hidden_basis import Rotation, Selection
from edgelm.compress.maths.hidden_saved import Decision, decided, seen_by
from edgelm.compress.stream.model import Model

CPU = torch.device("cpu")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("basis", ["pca", "channels"])
@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("layer", [0, 2, 4])
def test_killed_and_gone_on_is_the_same(
    make_checkpoint: Callable[..., Path], batches: list[list[int]], silent: Progress, tmp_path: Path, basis: Any,
    refit: bool, layer: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    base = Checkpoint(make_checkpoint("llama"))

    def run(name: str, progress: Progress) -> tuple[Model, dict[str, Any]]:
        model = Model.of(base)
        model.folder = tmp_path / name
        model.folder.mkdir(exist_ok=True)
        return model, slice_hidden(model, batches, 48, basis, False, refit, progress)

    def put(self: Model, name: str, tensor: torch.Tensor) -> None:
        raise Killed

    def dying(what: str, done: int, total: int) -> None:
        if what == "width: narrow the stream" and done == layer:
            raise Killed

    whole, record = run("whole", silent)
    with pytest.raises(Killed), monkeypatch.context() as patch:
        patch.setattr(Model, "put_outer", put)  # behind all layers
        run("out", dying)
    told, written = [], list[int]()
    real = Model.put_layer
    monkeypatch.setattr(Model, "put_layer", lambda self, number, tensors: (written.append(number),
                                                                           real(self, number, tensors)))  # fmt: skip
    resumed, again = run("out", lambda what, done, total: told.append(what))
    assert written == list(range(layer, 4))
    assert set(told) == {"width: narrow the stream"}  # nothing is decided twice
    assert again == record
    for name in whole.names:
        assert torch.equal(whole.outer(name), resumed.outer(name))


def test_a_decision_is_made_once(tmp_path: Path) -> None:
    for number, basis in enumerate((Rotation(torch.eye(4)[:, :3]), Selection(torch.tensor([0, 2, 3])))):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = Decision(basis, {(0, "a"): 0.1, (1, "b"): 1 / 3}, {"energy": 0.7})
        _, path = decided(folder, lambda made=made: made, CPU)  # type: ignore[misc]
        kept, same = decided(folder, lambda: pytest.fail("decided twice"), CPU)
        assert same == path
        assert (kept.scales, kept.record, type(kept.basis)) == (made.scales, made.record, type(basis))
        x_TD = torch.arange(8.0).reshape(2, 4)
        assert torch.equal(seen_by([path], CPU)(x_TD), basis.stream(x_TD))


def test_narrowed_twice_is_seen_through_both(tmp_path: Path) -> None:
    paths = []
    for name, basis in {"one": Selection(torch.tensor([1, 2, 3])), "two": Rotation(torch.eye(3)[:, 1:])}.items():
        (tmp_path / name).mkdir()
        paths.append(decided(tmp_path / name, lambda basis=basis: Decision(basis, {}, {}), CPU)[1])  # type: ignore[misc]
    assert torch.equal(seen_by(paths, CPU)(torch.arange(4.0)[None]), torch.tensor([[2.0, 3.0]]))
    assert torch.equal(seen_by([], CPU)(torch.ones(1, 4)), torch.ones(1, 4))
