from typing import Any

import pytest

from edgelm.devices.prediction import bytes_per_decoded_token, predict_memory, prefill_operations
from edgelm.report import Workload
from edgelm.shapes import Shape, shape_of

WORKLOAD = Workload(prompt_tokens=1500, generated_tokens=500)


def llama(**changed: Any) -> Shape:
    return shape_of({
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    } | changed)  # fmt: skip


def test_parts_of_an_8b_model_by_hand() -> None:
    parts = predict_memory(llama(), WORKLOAD, computed=2, stored=2, runtime=10**8)
    assert parts["weights"] == 8_030_261_248 * 2
    assert parts["kv"] == 2 * 32 * 8 * 128 * 2 * 2000
    assert parts["loading"] == 0
    assert parts["total"] == parts["weights"] + parts["kv"] + parts["activations"] + 10**8
    assert parts["activations"] == 1500 * (3 * 14336 * 2 + 2 * 4096 * (2 + 4)) + 128256 * (2 + 4)


def test_a_wider_computation_keeps_the_file_mapped_while_loading() -> None:
    parts = predict_memory(llama(), WORKLOAD, computed=4, stored=2)
    assert parts["loading"] == 8_030_261_248 * 2
    assert parts["total"] == parts["weights"] + parts["loading"]  # more than cache and activations ever take


def test_a_batch_has_a_cache_for_each_sequence_and_the_weights_once() -> None:
    one = predict_memory(llama(), WORKLOAD, computed=2, stored=2)
    four = predict_memory(llama(), WORKLOAD.model_copy(update={"batch": 4}), computed=2, stored=2)
    assert four["weights"] == one["weights"]
    assert four["kv"] == 4 * one["kv"]


def test_decoding_reads_all_but_an_untied_embedding() -> None:
    untied, tied = llama(), llama(tie_word_embeddings=True)
    cache = untied.kv_bytes(1750, 2)
    read = bytes_per_decoded_token(untied, WORKLOAD, 2)
    assert read == (8_030_261_248 - 128256 * 4096) * 2 + cache
    assert bytes_per_decoded_token(tied, WORKLOAD, 2) == read


def test_prefill_takes_two_operations_a_weight_and_token() -> None:
    untied, tied = llama(), llama(tie_word_embeddings=True)
    inner = 8_030_261_248 - 2 * 128256 * 4096
    assert prefill_operations(untied, WORKLOAD) == prefill_operations(tied, WORKLOAD)
    assert prefill_operations(untied, WORKLOAD) == pytest.approx(2 * inner * 1500, rel=0.05)
