"""What follows from a model's shape alone, before anything runs: bytes in memory, bytes and operations for a token.

Letters as in `shapes`: L layers, D model width, H query heads, G key/value heads, K head size, F feed-forward width,
V vocabulary; T tokens of the prompt.
"""

from __future__ import annotations

from edgelm.report import Workload
from edgelm.shapes import Shape

_F32 = 4  # bytes; norms and the last logits are widened to it


def predict_memory(shape: Shape, workload: Workload, *, computed: int, stored: int, runtime: int = 0) -> dict[str, int]:
    """Peak bytes by part, and their `total`.

    `computed` and `stored` are bytes a weight as computed with and as it lies in the file: where they differ the file
    stays mapped beside the widened weights while they are made (`loading`), which is over before the cache grows.
    `runtime` is what the process takes without a model.
    """
    positions = workload.prompt_tokens + workload.generated_tokens
    weights = shape.parameters * computed
    kv = shape.kv_bytes(positions, computed) * workload.batch
    activations = _activations(shape, workload.prompt_tokens, computed) * workload.batch
    loading = shape.parameters * stored if stored != computed else 0
    total = runtime + weights + max(loading, kv + activations)
    return {
        "weights": weights, "kv": kv, "activations": activations, "loading": loading, "runtime": runtime,
        "total": total,
    }  # fmt: skip


def _activations(shape: Shape, T: int, width: int) -> int:
    """Bytes alive at once in the widest part of a layer during prefill, and the logits of the last position."""
    attention = 5 * shape.heads * shape.head_size + 2 * shape.kv_heads * shape.head_size
    feed_forward = 3 * shape.ffn
    residual = 2 * shape.width * (width + _F32)
    return T * (width * max(attention, feed_forward) + residual) + shape.vocab * (width + _F32)


def bytes_per_decoded_token(shape: Shape, workload: Workload, computed: int) -> int:
    """Bytes that making one token (for each sequence of the batch) must read: weights once, and half-grown caches.

    An embedding that is not the head is only looked up, a row a token, and does not count.
    """
    weights = shape.parameters - (0 if shape.tied else shape.head_parameters)
    middle = workload.prompt_tokens + workload.generated_tokens // 2
    return weights * computed + shape.kv_bytes(middle, computed) * workload.batch


def prefill_operations(shape: Shape, workload: Workload) -> int:
    """Multiplications and additions of one prefill: 2 a weight and token, causal attention, one row of logits."""
    T = workload.prompt_tokens
    inner = shape.parameters - shape.head_parameters * (1 if shape.tied else 2)
    attention = 2 * shape.layers * shape.heads * shape.head_size * T * T
    return (2 * inner * T + attention + 2 * shape.head_parameters) * workload.batch
