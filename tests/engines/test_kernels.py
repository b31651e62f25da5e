"""Attention with its log-sum-exp: the fused kernels against the formula, and the formula against torch."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from edgelm.engines.kernels import formula, kernel

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def _tensors(device, queries=5, keys=7, value_size=16):
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 2, queries, 16), (3, 2, keys, 16), (3, 2, keys, value_size))
    return [torch.randn(shape, generator=generator).to(device) for shape in shapes]


def test_the_formula_is_attention():
    q, k, v = _tensors("cpu", queries=7)
    out, lse = formula(q, k, v, 0.3, True, None)
    torch.testing.assert_close(out, scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3))
    whole = formula(q, k, v, 0.3, False, None)[1]
    torch.testing.assert_close(whole, torch.logsumexp(q @ k.transpose(2, 3) * 0.3, -1))
    torch.testing.assert_close(lse[:, :, 0], (q[:, :, 0] * k[:, :, 0]).sum(-1) * 0.3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("how", ["whole", "causal", "biased", "one head's keys for all"])
def test_the_fused_kernel_gives_what_the_formula_gives(device, how):
    q, k, v = _tensors(device, queries=7 if how == "causal" else 5)
    bias = None
    if how == "biased":
        bias = torch.zeros(3, 1, 1, 16, device=device)[..., :7]
        bias[1, ..., 4:] = -torch.inf
    if how.startswith("one"):
        k, v = (x[:1].expand(3, -1, -1, -1) for x in (k, v))
    fused = kernel(q, v)
    assert fused is not formula
    for found, wanted in zip(fused(q, k, v, 0.3, how == "causal", bias), formula(q, k, v, 0.3, how == "causal", bias),
                             strict=True):  # fmt: skip
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_values_of_another_size_than_the_keys_go_by_the_formula():
    q, k, v = _tensors("cpu", value_size=4)
    assert kernel(q, v) is formula
    assert formula(q, k, v, 0.3, False, None)[0].shape == (3, 2, 5, 4)
