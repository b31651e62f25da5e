from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from edgelm.train.base import SHAPES
from edgelm.train.costs.flops import causal_flops_per_token, flops_per_token, matrix_parameters, mfu, peak

ROWS, CONTEXT = 3, 96


def _counted(shape):
    """What torch counts for a forward and a backward pass, a token."""
    config = LlamaConfig(
        vocab_size=shape.vocab, hidden_size=shape.width, intermediate_size=shape.ffn, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_size,
        max_position_embeddings=shape.context, tie_word_embeddings=shape.tied, attn_implementation="eager",
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    ids_BT = torch.zeros(ROWS, CONTEXT, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids_BT, use_cache=False).logits.sum().backward()
    return counter.get_total_flops() / ids_BT.numel()


@pytest.mark.parametrize("tied", [True, False])
def test_the_formula_is_what_torch_counts(tied):
    shape = replace(SHAPES["tiny"], tied=tied)
    assert flops_per_token(shape, CONTEXT) == pytest.approx(_counted(shape), rel=0.02)


@pytest.mark.parametrize(("name", "context", "giga"), [
    ("tiny", 256, 0.002), ("5M", 2048, 0.066), ("15M", 2048, 0.169), ("50M", 2048, 0.455), ("125M", 2048, 1.175),
    ("125M-wide", 2048, 1.057), ("350M", 2048, 2.832), ("350M-wide", 2048, 2.492), ("1B", 2048, 7.173),
])  # fmt: skip
def test_every_shape_by_the_formula_written_out(name, context, giga):
    s = SHAPES[name]
    layer = 2 * s.width * s.heads * s.head_size + 2 * s.width * s.kv_heads * s.head_size + 3 * s.width * s.ffn
    assert matrix_parameters(s) == s.vocab * s.width + s.layers * layer
    assert flops_per_token(s, context) / 1e9 == pytest.approx(giga, abs=1.1e-3)


def test_causal_attention_is_half():
    shape = SHAPES["125M"]
    products = 6 * matrix_parameters(shape)
    assert causal_flops_per_token(shape, 2048) - products == (flops_per_token(shape, 2048) - products) / 2


def test_an_untied_input_table_is_looked_up_and_not_multiplied():
    shape = SHAPES["50M"]
    assert matrix_parameters(replace(shape, tied=False)) == matrix_parameters(shape)


@pytest.mark.parametrize(("device", "teraflops"), [
    ("NVIDIA H200", 989), ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA H200 NVL", 835),
    ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA A100 80GB PCIe", 312), ("NVIDIA L40S", 362),
    ("NVIDIA GeForce RTX 4090", 165), ("NVIDIA B200", 2250),
])  # fmt: skip
def test_known_devices(device, teraflops):
    assert peak(device) == teraflops * 1e12


@pytest.mark.parametrize("device", [
    "", "cpu", "NVIDIA H20", "NVIDIA L40", "NVIDIA A10", "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D", "AMD Instinct MI300X",
])  # fmt: skip
def test_no_guess_at_others(device):
    assert peak(device) is None
    assert mfu(1e9, 1e5, peak(device)) is None


def test_mfu_is_of_all_devices_together():
    assert mfu(1e9, 8e5, 989e12, devices=8) == pytest.approx(1e9 * 1e5 / 989e12)
