"""The `config.json` of a trained model."""

from __future__ import annotations

from typing import Any

from edgelm.shapes import Shape


def stock_config(shape: Shape, theta: float, tokenizer: Any, dtype: str) -> dict[str, Any]:
    """The contents of `config.json`, with the old and the new name of whatever readers know under either."""
    named = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[shape.family]
    return {
        "architectures": [named], "model_type": shape.family,
        "vocab_size": shape.vocab, "hidden_size": shape.width, "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size, "hidden_act": "silu", "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5, "attention_bias": False, "tie_word_embeddings": shape.tied,
        **({"mlp_bias": False} if shape.family == "llama" else {}),
        "rope_theta": theta, "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, "dtype": dtype, "torch_dtype": dtype,
    }  # fmt: skip
