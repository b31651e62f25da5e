"""The figures of published plans, in GB as they are stated: weights and cache at 2,048 tokens."""

from __future__ import annotations

import pytest

from edgelm.compress.costs import phone
from edgelm.shapes import Shape


@pytest.mark.parametrize(
    ("shape", "parameters", "weights", "cache"),
    [
        (Shape("llama", 28, 3072, 32, 8, 128, 9216, 65536, 8192, tied=False), 3_661_802_496, 7.32, 0.23),
        (Shape("qwen2", 24, 3072, 24, 4, 128, 11264, 98304, 8192, tied=False, attention_bias=True),
         3_624_127_488, 7.25, 0.10),
        (Shape("phi", 24, 2560, 32, 8, 80, 10240, 51200, 2048, tied=False, attention_bias=True, output_bias=True,
               mlp_bias=True), 1_914_291_200, 3.83, 0.13),
    ],
)  # fmt: skip
def test_memory_is_weights_cache_logits_and_reserve(
    shape: Shape, parameters: int, weights: float, cache: float
) -> None:
    assert shape.parameters == parameters
    assert 2 * parameters / 1e9 == pytest.approx(weights, abs=0.005)
    assert shape.kv_bytes(2048, 2) / 1e9 == pytest.approx(cache, abs=0.005)
    wanted = weights + cache + 4 * shape.vocab / 1e9 + phone.RESERVE / 1e9
    assert phone.memory(shape, 2) / 1e9 == pytest.approx(wanted, abs=0.01)
    embedding = 2 * shape.vocab * shape.width
    assert phone.read_per_token(shape, 2) == 2 * parameters - embedding + shape.kv_bytes(2048, 2)


def test_a_tied_embedding_is_the_head_and_is_read() -> None:
    shape = Shape("llama", 2, 64, 4, 4, 16, 128, 1000, 256, tied=True)
    assert phone.read_per_token(shape, 4, context=0) == 4 * shape.parameters
