from typing import Any

import pytest

from edgelm.compress.costs import phone
from edgelm.devices.model_file import planned
from edgelm.devices.prediction import (
    bytes_per_decoded_token,
    bytes_per_token_of,
    decode_operations,
    predict_bundle,
    predict_memory,
    prefill_operations,
)
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


def qwen2() -> Shape:
    return shape_of({
        "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768,
    })  # fmt: skip


def phi() -> Shape:
    return shape_of({
        "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 51200, "max_position_embeddings": 2048,
    })  # fmt: skip


@pytest.mark.parametrize("shape", [llama(), qwen2(), phi()])
def test_a_bundles_memory_is_what_compression_reckons_with(shape: Shape) -> None:
    parts = predict_bundle(shape, planned(shape), phone.CONTEXT)
    assert parts["total"] == sum(size for part, size in parts.items() if part != "total")
    assert parts["weights"] == pytest.approx(2 * shape.parameters, rel=1e-3)
    assert parts["kv"] == shape.kv_bytes(2048, 2)
    assert parts["total"] == pytest.approx(phone.memory(shape, 2), rel=0.05)


def test_a_bundles_cache_comes_in_steps() -> None:
    shape, stored = llama(), planned(llama())
    assert predict_bundle(shape, stored, 2000) == predict_bundle(shape, stored, 2048)
    assert predict_bundle(shape, stored, 2049)["kv"] == shape.kv_bytes(2304, 2)


def test_a_bundle_reads_for_a_token_what_a_checkpoint_does() -> None:
    for shape in (llama(), llama(tie_word_embeddings=True), phi()):
        assert bytes_per_token_of(shape, planned(shape), WORKLOAD) == pytest.approx(
            bytes_per_decoded_token(shape, WORKLOAD, 2), rel=1e-3
        )


def test_decoding_takes_two_operations_a_weight() -> None:
    inner = 8_030_261_248 - 128256 * 4096
    assert decode_operations(llama(), WORKLOAD) == 2 * inner + 4 * 32 * 4096 * 1750
