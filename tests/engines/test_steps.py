"""Packed steps give the logits of each text read alone, at explicit positions, run after run."""

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.engines.model import Forward
from edgelm.engines.scheduler import Limits
from edgelm.engines.steps import Packing
from edgelm.stock import load_model

FEW = list(range(5, 45))


@pytest.fixture(scope="module")
def forward(make_checkpoint):
    return Forward(load_model(Checkpoint(make_checkpoint("llama", num_hidden_layers=2)), torch.float32))


@torch.inference_mode()
def _follow(forward, texts, steps, limits):
    """The logits after each of the last `steps` tokens of each text, when these are added one at a time."""
    packing = Packing(forward, [ids[: -steps + 1] for ids in texts], [steps] * len(texts), limits)
    found = [[] for _ in texts]
    while not packing.schedule.done:
        rows, logits_RV = packing.step()
        for row, logits_V in zip(rows, logits_RV, strict=True):
            found[row].append(logits_V)
        over = [row for row in rows if len(found[row]) == steps]
        going = [row for row in rows if row not in over]
        packing.add(going, [texts[row][len(found[row]) - steps] for row in going])
        packing.end(over)
    return [torch.stack(each) for each in found]


TEXTS = [
    [*FEW, 50, 51, 52, 53, 54], [*FEW, 50, 60, 61, 62, 63, 64, 65, 66], [*FEW, 7, 7, 7, 7],  # one beginning
    [90, 91, 92, 93], [*range(100, 180)], [90, 91, 92, 93, 94],  # none
    [*range(200, 230), 1, 2, 3], [*range(200, 230), 1, 9, 9],  # another
]  # fmt: skip


@pytest.mark.parametrize("limits", [Limits(64, 10**6, 10**6), Limits(2, 10**6, 10**6), Limits(3, 8, 150)])
def test_each_text_is_read_as_if_alone(forward, limits):
    found = _follow(forward, TEXTS, 3, limits)
    for ids, logits in zip(TEXTS, found, strict=True):
        torch.testing.assert_close(logits, forward.plain(ids)[-3:], atol=1e-4, rtol=1e-3)


def test_a_second_run_knows_nothing_of_the_first(forward):
    first = _follow(forward, TEXTS[:3], 3, Limits(2, 10**6, 10**6))
    _follow(forward, [ids[::-1] for ids in TEXTS], 3, Limits(2, 10**6, 10**6))
    for one, again in zip(first, _follow(forward, TEXTS[:3], 3, Limits(2, 10**6, 10**6)), strict=True):
        assert torch.equal(one, again)


def test_a_beginning_is_read_once_and_nothing_is_padded(forward, monkeypatch):
    read = []
    logits = forward.logits
    monkeypatch.setattr(forward, "logits", lambda ids, *more: read.append(len(ids)) or logits(ids, *more))
    _follow(forward, TEXTS[:3], 3, Limits(64, 10**6, 10**6))
    own = [len(ids) - len(FEW) - 2 for ids in TEXTS[:3]]
    assert read == [len(FEW), sum(own), 3, 3]


def test_the_model_is_as_it_was_outside_a_step(forward):
    before = forward.plain(TEXTS[0])
    usual = forward.model.config._attn_implementation
    _follow(forward, TEXTS, 3, Limits(64, 10**6, 10**6))
    assert forward.model.config._attn_implementation == usual
    assert torch.equal(forward.plain(TEXTS[0]), before)
