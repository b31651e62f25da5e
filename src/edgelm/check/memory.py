"""Memory check: the peak that the configuration implies at the rules' workload, before anything runs."""

from __future__ import annotations

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model
from edgelm.headers import DTYPE_BYTES, TORCH_NAMES


def estimate(model: Model) -> dict[str, int]:
    """Bytes by part: the weights as stored, the cache of the whole workload, the logits of its prompt."""
    rules, shape = model.rules, model.shape
    width = max((DTYPE_BYTES[dtype] for dtype in model.checkpoint.dtypes if dtype in TORCH_NAMES), default=4)
    return {
        "weights": model.checkpoint.bytes,
        "cache": shape.kv_bytes(rules.prompt_tokens + rules.generated_tokens, width) * rules.batch,
        "logits": shape.vocab * rules.prompt_tokens * rules.batch * width,
    }


def peak(model: Model) -> Findings:
    """MEM-01: the estimate against the limit."""
    parts = estimate(model)
    total, limit = sum(parts.values()), model.rules.memory_limit
    if total >= limit:
        listed = ", ".join(f"{part} {size / 2**20:,.0f}" for part, size in parts.items())
        what = f"{total / 2**20:,.0f} MiB ({listed}), the limit is {limit / 2**20:,.0f}"
        yield finding("MEM-01", model.at("checkpoint"), what)


MODEL_CHECKS = (Check("CKP-04", peak),)
