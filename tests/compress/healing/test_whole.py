from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.healing.whole import frozen_network
from edgelm.compress.stream.model import Model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_on_a_gpu_the_teachers_head_is_as_stored(
    make_checkpoint: Callable[..., Path], batches: list[list[int]], dtype: str, tied: bool
) -> None:
    """And so is the rest, unless it is in float32."""
    teacher = Model.of(Checkpoint(make_checkpoint("llama", dtype=dtype, tied=tied)))
    network, exact = frozen_network(teacher, "cuda"), frozen_network(teacher, "cpu")
    stored = getattr(torch, dtype)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(network.lm_head.weight, teacher.head()[0])
    assert network.lm_head.weight.dtype == stored
    half = torch.bfloat16 if dtype == "float32" else stored
    assert {parameter.dtype for parameter in network.base_model.layers.parameters()} == {half}
    assert {parameter.dtype for parameter in exact.parameters()} == {torch.float32}
    ids = torch.tensor(batches[:1])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        near = network.base_model(ids, use_cache=False)[0].float()
    with torch.no_grad():
        assert torch.cosine_similarity(near, exact.base_model(ids, use_cache=False)[0], dim=-1).min() > 0.99
