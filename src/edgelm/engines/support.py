"""Whether a model can run packed, behind shared beginnings: by what its configuration says, and by trying it.

What is not known to be fine is refused; the plain engine then answers, and the reason is said.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from edgelm.engines.attention import Foreign
from edgelm.engines.model import Forward
from edgelm.engines.scheduler import Limits
from edgelm.engines.steps import Packing
from edgelm.stock import is_out_of_memory

ROPES = {"default", "linear", "llama3", "yarn", "proportional"}  # those whose angles depend on the position alone
# Configuration entries that make a token's attention depend on more than the keys before it.
HINDERING = (
    "alibi", "attn_logit_softcapping", "attention_chunk_size", "num_kv_shared_layers", "prefix_lm", "attn_config",
)  # fmt: skip
# What is honoured here, and what a greedy answer does not depend on.
HONOURED = {
    "bos_token_id", "eos_token_id", "pad_token_id", "repetition_penalty", "max_length", "max_new_tokens",
    "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff",
    "use_cache", "cache_implementation", "early_stopping", "length_penalty", "transformers_version",
    "_from_model_config", "output_attentions", "output_hidden_states", "output_scores", "output_logits",
    "return_dict_in_generate", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind", "disable_compile",
}  # fmt: skip
ONE_IS_NONE = {"num_beams", "num_beam_groups", "num_return_sequences", "guidance_scale", "encoder_repetition_penalty"}
CLOSE = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}  # relative distance of logits


def refusal(model: Any, generation: Any) -> str | None:
    """Why this model cannot run here, judged by its configuration; None if nothing speaks against it."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False) or getattr(model, "_is_stateful", False):
        return "its attention cannot be exchanged"
    if model.config.is_encoder_decoder or not getattr(config, "num_hidden_layers", 0):
        return "it is no decoder of equal layers"
    if not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(model.forward).parameters.values()):
        return "its forward hands nothing on to its attention"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (getattr(config, "sliding_window", None) and "layer_types" not in config):
        return "it attends through a sliding window"
    if hindering := [name for name in HINDERING if getattr(config, name, None)]:
        return f"{hindering[0]} is set"
    if ropes := _rope_types(getattr(config, "rope_parameters", None) or {}) - ROPES:
        return f"its rotary embedding is of type {min(ropes)}"
    active = sorted(name for name, value in generation.to_dict().items() if _is_active(name, value))
    return f"its generation config sets {active[0]}" if active else None


def _is_active(name: str, value: Any) -> bool:
    """Whether a generation setting changes greedy answers in a way that is not honoured here."""
    if name in HONOURED or name not in vars(GenerationConfig()):  # a name that transformers does not know does nothing
        return False
    if value is None or value is False or value in ([], {}):
        return False
    return not ((value == 0 and not name.startswith("forced")) or (value == 1 and name in ONE_IS_NONE))


def _rope_types(parameters: Mapping[str, Any]) -> set[str]:
    """The kinds of rotary embedding, of one kind of layer or of several."""
    inner = [value for value in parameters.values() if isinstance(value, Mapping)]
    own = parameters.get("rope_type", "default") if not inner else None
    return set().union(*map(_rope_types, inner), {own} if own else set())


def trial(forward: Forward, prompts: Sequence[Sequence[int]]) -> str | None:
    """Why the model gives other logits when run packed; None if they agree.

    Up to three real prompts are cut short, two of them given a common beginning; the last tokens of each are read one
    by one, as answers are made.
    """
    try:
        distance = max(_distances(forward, _short(prompts)))
    except Exception as error:  # a model that is not ours may fail anywhere
        if is_out_of_memory(error):
            raise
        return str(error) if isinstance(error, Foreign) else f"{type(error).__name__}: {error}"[:200]
    close = CLOSE.get(forward.model.dtype, 1e-3)
    return f"its logits differ by {distance:.1%} when it runs packed" if distance > close else None


def _short(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    first, *others = (list(ids) * (48 // len(ids) + 1) for ids in prompts[:3] if ids)
    short = [first[-41:]]
    if others:
        short.append([*first[-41:-21], *others[0][-17:]])
    return short + [ids[-30:] for ids in others[1:]]


@torch.inference_mode()
def _distances(forward: Forward, texts: Sequence[list[int]], steps: int = 3) -> list[float]:
    """How far our logits are from the plain ones, relative to these, after each of the last tokens of each text."""
    plain = [forward.plain(ids)[-1 - steps :] for ids in texts]
    limits = Limits(len(texts), 10**6, 10**6)
    packing = Packing(forward, [ids[:-steps] for ids in texts], [steps] * len(texts), limits)
    found = []
    for step in range(steps + 1):
        rows, logits_RV = packing.step()
        found += [_distance(logits_V, plain[row][step]) for row, logits_V in zip(rows, logits_RV, strict=True)]
        if step < steps:
            packing.add(rows, [texts[row][step - steps] for row in rows])
    return found


def _distance(ours_V: Tensor, plain_V: Tensor) -> float:
    """The relative distance where the plain logits are numbers; infinite if ours are none there."""
    known_V = plain_V.isfinite()
    if not known_V.any():
        return 0.0
    distance = ((ours_V - plain_V)[known_V].norm() / plain_V[known_V].norm()).item()
    return distance if math.isfinite(distance) else math.inf
