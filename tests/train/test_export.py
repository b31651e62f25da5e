"""Weights into a checkpoint: nothing overflows unnoticed, and what storing costs is looked at."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from edgelm.errors import NoSpace, Unsupported
from edgelm.train.base import Tuning, with_qk_norm
from edgelm.train.export import compare, write_generation, write_weights
from edgelm.train.loop.model import fresh
from edgelm.train.rows.batches import Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards


@pytest.fixture
def model(tiny):
    return fresh(tiny.SHAPE, Tuning(0, init=0.1, theta=10.0), tiny.TOKENIZER, 0)


@pytest.fixture
def probes(tiny, shards):
    read = Shards(shards, "held")
    return {"c4": Batches(read, pack(read.lengths, tiny.CONTEXT), tiny.CONTEXT, None)(0, 4)}


@pytest.mark.parametrize(("stored", "dtype"), [("fp16", torch.float16), ("fp32", torch.float32)])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_every_weight_is_written_once_in_its_type(stored, dtype, family, tiny, tmp_path):
    shape = with_qk_norm(tiny.SHAPE) if family == "qwen3" else tiny.SHAPE
    model = fresh(shape, Tuning(0), tiny.TOKENIZER, 0)
    assert write_weights(model, tmp_path, stored) == {"dtype": stored, "flushed_to_zero": 0.0}
    written = load_file(tmp_path / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in written.items()} == shape.tensors
    own = dict(model.named_parameters())
    assert all(torch.equal(tensor, own[name].to(dtype)) for name, tensor in written.items())


def test_a_weight_beyond_fp16_is_refused_and_nothing_written(model, tmp_path):
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] = 1e6
    with pytest.raises(
        Unsupported, match=r"model\.layers\.1\.mlp\.up_proj\.weight holds values that fp16 cannot"
    ) as raised:
        write_weights(model, tmp_path, "fp16")
    assert raised.value.exit_code == 2 and "--dtype fp32" in raised.value.mend
    assert not any(tmp_path.iterdir())
    write_weights(model, tmp_path, "fp32")
    assert load_file(tmp_path / "model.safetensors")["model.layers.1.mlp.up_proj.weight"].max() == 1e6


def test_what_becomes_zero_is_counted(model, tmp_path):
    weight = model.model.layers[0].mlp.up_proj.weight.data
    weight[0] = 1e-9
    weight[1] = 0
    whole = sum(int(parameter.count_nonzero()) for parameter in model.parameters())
    assert write_weights(model, tmp_path, "fp16")["flushed_to_zero"] == pytest.approx(weight.shape[1] / whole)
    assert write_weights(model, tmp_path, "fp32")["flushed_to_zero"] == 0


def test_what_storing_costs_is_measured_on_text(model, probes):
    found = compare(model, "fp16", probes)
    assert 0.97 <= found["agreement"] <= 1 and 0 < found["largest_activation"] < 100
    assert compare(model, "fp32", probes) == {} == compare(model, "fp16", {})


def test_an_activation_that_overflows_is_refused(model, probes):
    model.model.layers[0].mlp.down_proj.weight.data *= 3e5
    with pytest.raises(Unsupported, match="overflows in fp16 on text of c4") as raised:
        compare(model, "fp16", probes)
    assert raised.value.exit_code == 2


def test_a_full_disk_is_said(model, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("edgelm.stock.save_file", refuse)
    with pytest.raises(NoSpace):
        write_weights(model, tmp_path, "fp16")


def test_answers_end_with_the_turn_or_the_text(trained, tmp_path):
    from edgelm.train.tokenizer import load

    write_generation(load(trained.path), tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_bytes()) == {
        "bos_token_id": 0, "pad_token_id": 2, "eos_token_id": [4, 1], "do_sample": False,
    }  # fmt: skip
