"""A packed forward: logits where they are asked for, our attention nowhere else, and what a token's keys weigh."""

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.engines.attention import NAME, Foreign, Fresh, Step
from edgelm.engines.model import Forward
from edgelm.stock import load_model

IDS = [5, 6, 7, 8, 9, 10]


@pytest.fixture(scope="module")
def model(make_checkpoint):
    return load_model(Checkpoint(make_checkpoint("llama", num_hidden_layers=2)), torch.float32)


@torch.inference_mode()
def _logits(forward, wanted):
    return forward.logits([*IDS, *IDS[:3]], [*range(6), *range(3)], Step([Fresh(0, 6), Fresh(6, 9)]), wanted)


def test_logits_are_those_of_each_text_where_they_are_asked_for(model):
    forward = Forward(model)
    with torch.inference_mode():
        plain = forward.plain(IDS)
    torch.testing.assert_close(_logits(forward, [8, 1, 5]), plain[[2, 1, 5]], atol=1e-4, rtol=1e-3)


def test_a_class_that_makes_all_logits_is_understood(model, monkeypatch):
    wanted = _logits(Forward(model), [8, 1])
    forward = model.forward

    def without(self, input_ids=None, **kwargs):
        return forward(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(model), "forward", without)
    torch.testing.assert_close(_logits(Forward(model), [8, 1]), wanted, atol=1e-5, rtol=1e-4)


def test_attention_is_the_usual_one_again_also_after_a_failure(model):
    forward, usual = Forward(model), model.config._attn_implementation
    assert usual != NAME
    with pytest.raises(Foreign, match="twice"):
        forward.logits(IDS, range(6), Step([Fresh(0, 6)], layers={0}), [5])
    assert model.config._attn_implementation == usual


def test_the_bias_shows_each_row_its_tokens_and_the_newest(model):
    bias = Forward(model).bias(torch.tensor([2, 0, 4]), 5)
    assert (bias == 0).sum(-1).flatten().tolist() == [3, 1, 5]
    assert bias.shape == (3, 1, 1, 5) and bias.stride(0) % 16 == 0


def test_bytes_kept_are_those_of_keys_and_values_in_all_layers(model):
    assert Forward(model).bytes_kept() == 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, head size, FP32
