"""Reordered weights: the same products, only inside the block, and only where they are made for it."""

import pytest
import torch
from torch import nn

from edgelm.engines import weights
from edgelm.engines.weights import Reordered


class Tiny(nn.Module):
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(48, 80), nn.Linear(80, 33, bias=False)

    @torch.inference_mode()
    def forward(self, x):
        return self.last(self.first(x))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Tiny()


@pytest.mark.parametrize("rows", [1, 7, 64, 300])
def test_products_are_the_same_and_the_layers_are_theirs_again_afterwards(model, rows):
    x = torch.randn(1, rows, 48)
    plain, reordered = model(x), Reordered(model)
    assert len(reordered.forwards) == 2
    with reordered:
        assert "forward" in vars(model.first)
        torch.testing.assert_close(model(x), plain)
    assert "forward" not in vars(model.first) and torch.equal(model(x), plain)


def test_large_models_and_other_types_stay_as_they_are(model, monkeypatch):
    model.dtype = torch.bfloat16
    assert not Reordered(model).forwards
    model.dtype = torch.float32
    monkeypatch.setattr(weights, "MOST", 4)
    assert not Reordered(model).forwards


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, NotImplementedError])
def test_where_torch_has_no_such_operator_nothing_is_reordered(model, monkeypatch, error):
    def absent(_):
        raise error

    monkeypatch.setattr(weights, "_reorder", absent)
    with (reordered := Reordered(model)):
        assert not reordered.forwards
        assert model(torch.randn(1, 2, 48)).shape == (1, 2, 33)
