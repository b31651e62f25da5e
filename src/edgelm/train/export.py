"""Write a trained model as a plain Hugging Face checkpoint in fp16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgelm.checkpoint import write_config
from edgelm.errors import Unsupported
from edgelm.shapes import Shape
from edgelm.stock import save_tensors
from edgelm.train.tokenizer import END


def llama_config(shape: Shape, theta: float, tokenizer: Any, dtype: str) -> dict[str, Any]:
    """The contents of `config.json`, with the old and the new name of whatever readers know under either."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "vocab_size": shape.vocab, "hidden_size": shape.width, "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size, "hidden_act": "silu", "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": shape.tied,
        "rope_theta": theta, "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, "dtype": dtype, "torch_dtype": dtype,
    }  # fmt: skip


def export(model: nn.Module, shape: Shape, theta: float, tokenizer: Any, folder: Path) -> None:
    """Write weights, `config.json` and `generation_config.json`.

    Raises:
        Unsupported: a weight does not fit into fp16.
        NoSpace: the disk is full.
    """
    names = {name for name, _ in model.named_parameters()}  # a tied head is no parameter of its own
    weights = {name: tensor.to(torch.float16) for name, tensor in model.state_dict().items() if name in names}
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise Unsupported(
                f"{name} holds values that fp16 cannot",
                why="its largest number is 65504",
                mend="lower muon= and adamw=",
            )
    save_tensors(folder / "model.safetensors", weights)
    write_config(folder / "config.json", llama_config(shape, theta, tokenizer, "float16"))
    ends = [tokenizer.convert_tokens_to_ids(END), tokenizer.eos_token_id]
    write_config(
        folder / "generation_config.json",
        {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": ends, "pad_token_id": tokenizer.pad_token_id,
         "do_sample": False},
    )  # fmt: skip
