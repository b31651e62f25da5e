from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.maths import depth_removals
from edgelm.compress.maths.depth_removals import greedy
from edgelm.compress.stream.model import Model
from edgelm.errors import BadFile
from edgelm.stock import load_model

LAYERS = 6
ALL: Any = {"tokens": 10_000}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Path], family: str) -> Checkpoint:
    return Checkpoint(make_checkpoint(family, num_hidden_layers=LAYERS))


@torch.no_grad()
def divergence(base: Any, network: Any, text: list[list[int]]) -> float:
    """KL of two whole networks, over all tokens that another follows."""
    parts = []
    for tokens in text:
        wanted, found = (each(torch.tensor([tokens]), use_cache=False).logits[0, :-1].double().log_softmax(-1)
                         for each in (base, network))  # fmt: skip
        parts.append((wanted.exp() * (wanted - found)).sum(-1))
    return float(torch.cat(parts).mean())


def without(checkpoint: Checkpoint, dropped: set[int]) -> Any:
    """The whole network without some layers."""
    network: Any = load_model(checkpoint, torch.float32)
    inner, name = (network.transformer, "h") if hasattr(network, "transformer") else (network.model, "layers")
    kept = [layer for number, layer in enumerate(getattr(inner, name)) if number not in dropped]
    setattr(inner, name, nn.ModuleList(kept))
    network.config.num_hidden_layers = len(kept)
    return network


def test_takes_what_whole_networks_say(
    checkpoint: Checkpoint, model: Model, batches: list[list[int]], silent: Progress
) -> None:
    text, base = batches[:2], without(checkpoint, set())
    found = greedy(model, text, range(1, LAYERS), 3, **ALL, progress=silent)
    gone: set[int] = set()
    for number, (layer, kl) in enumerate(zip(found["order"], found["kl"], strict=True)):
        scores = {each: divergence(base, without(checkpoint, gone | {each}), text)
                  for each in range(LAYERS) if each not in gone}  # fmt: skip
        if number == 0:
            assert found["scores"] == pytest.approx(list(scores.values()), rel=1e-4)
        scores.pop(0)  # may not go
        assert layer == min(scores, key=scores.__getitem__)
        assert kl == pytest.approx(scores[layer], rel=1e-4)
        gone.add(layer)
    assert found["dropped"] == sorted(gone)
    assert model.layers == LAYERS


@pytest.mark.parametrize("family", ["qwen2"])
@pytest.mark.parametrize("sequences", [1, 3])
def test_how_many_sequences_are_in_memory_does_not_matter(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, monkeypatch: pytest.MonkeyPatch,
    sequences: int,
) -> None:  # fmt: skip
    whole = greedy(opened(checkpoint), batches, range(1, LAYERS - 1), 2, **ALL, progress=silent)
    monkeypatch.setattr(depth_removals, "TRIALS", 4 * 64 * (LAYERS + 1) * 48 * sequences)
    read: list[int] = []
    real = Model.layer
    monkeypatch.setattr(Model, "layer", lambda self, number: read.append(number) or real(self, number))
    assert greedy(opened(checkpoint), batches, range(1, LAYERS - 1), 2, **ALL, progress=silent) == whole
    groups = -(-len(batches) // sequences)
    assert len(read) == LAYERS + groups * (LAYERS + LAYERS - 1)  # a layer once a round and group, behind the base's run


@pytest.mark.parametrize("family", ["llama"])
def test_only_so_much_text_is_looked_at(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    some = greedy(opened(checkpoint), batches, range(1, 5), 1, tokens=41, progress=silent)
    assert some["scored_on"] == {"sequences": 2, "tokens": 88}
    assert some == greedy(opened(checkpoint), batches[:2], range(1, 5), 1, **ALL, progress=silent)


@pytest.mark.parametrize("family", ["qwen2"])
def test_is_measured_from_the_base(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress
) -> None:
    """A layer that went before is missed in every score, and predictions are compared over the tokens that stay."""
    model, ids = opened(checkpoint), list(range(5, 250))
    model.base = Model.of(checkpoint)
    model.keep_layers([0, 1, 3, 4, 5])
    model.keep_rows(ids)
    model.idmap = ids
    text = [[ids.index(token) for token in tokens] for tokens in batches[:2]]
    found = greedy(model, text, range(1, 4), 1, **ALL, progress=silent)
    base, cut = without(checkpoint, set()), without(checkpoint, {2, 4})
    for network in (base, cut):
        network.lm_head.weight = nn.Parameter(network.lm_head.weight[torch.tensor(ids)])
    assert found["scores"][3] == pytest.approx(divergence(base, cut, batches[:2]), rel=1e-4)


@pytest.mark.parametrize("family", ["phi"])
@pytest.mark.parametrize("calls", [3, LAYERS + 8])
def test_killed_and_gone_on_is_the_same(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, calls: int
) -> None:
    model, told = opened(checkpoint), list[int]()

    def dying(what: str, done: int, total: int) -> None:
        told.append(done)
        if len(told) > LAYERS + calls:  # the base's run, and some of the first round or the second
            raise Killed

    whole = greedy(opened(checkpoint), batches, range(1, 5), 3, **ALL, progress=silent)
    with pytest.raises(Killed):
        greedy(model, batches, range(1, 5), 3, **ALL, progress=dying)
    assert (model.folder / "removals.json").is_file() == (calls > LAYERS)
    assert greedy(model, batches, range(1, 5), 3, **ALL, progress=silent) == whole


@pytest.mark.parametrize("family", ["llama"])
def test_overflow_is_refused(
    checkpoint: Checkpoint, opened: Any, edit: Any, batches: list[list[int]], silent: Progress
) -> None:
    model = opened(edit(checkpoint, lambda tensors: tensors["model.layers.5.mlp.down_proj.weight"].fill_(3e38)))
    with pytest.raises(BadFile, match="no numbers"):
        greedy(model, batches, range(1, 5), 1, **ALL, progress=silent)
