"""What follows from a model's shape alone, before anything runs: bytes in memory, bytes and operations for a token.

Letters as in `shapes`: L layers, D model width, H query heads, G key/value heads, K head size, F feed-forward width,
V vocabulary; T tokens of the prompt.
"""

from __future__ import annotations

from edgelm.devices.model_file import Stored
from edgelm.report import Speed, Workload
from edgelm.shapes import Shape

_F32 = 4  # bytes; norms and the last logits are widened to it
_TOGETHER = 512  # tokens of a prompt that llama.cpp takes through the layers at a time
_STEP = 256  # positions of its cache come in steps of so many
_PROGRAM = 11_000_000  # bytes of our runner before it has a model
_TEXT = 140  # bytes that it keeps for each text of the vocabulary and each merge


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


def predict_bundle(shape: Shape, stored: Stored, context: int) -> dict[str, int]:
    """Peak bytes of our runner by part, and their `total`, with a cache for `context` positions.

    Weights are as they lie in the file. Buffers hold what is alive at once in the widest part of a layer: the scores
    of all heads over the whole cache, or the feed-forward's values; and the operands of a product, made narrower.
    """
    positions = -(-context // _STEP) * _STEP
    tokens = min(_TOGETHER, context)
    residual = 2 * shape.width + shape.heads * shape.head_size
    attention = shape.heads * positions + residual + 2 * shape.heads * shape.head_size + positions
    feed_forward = 3 * shape.ffn + residual
    narrowed = tokens * max(shape.ffn, shape.width) * stored.width
    buffers = _F32 * tokens * max(attention, feed_forward) + narrowed + 2 * _F32 * shape.vocab
    runtime = _PROGRAM + _TEXT * (stored.tokens or 3 * shape.vocab)
    parts = {"weights": stored.bytes, "kv": shape.kv_bytes(positions, stored.width), "buffers": buffers,
             "runtime": runtime}  # fmt: skip
    return {**parts, "total": sum(parts.values())}


def bytes_per_token_of(shape: Shape, stored: Stored, workload: Workload) -> int:
    """Bytes that our runner reads to make one token: weights but for an embedding that is only looked up, and cache."""
    middle = workload.prompt_tokens + workload.generated_tokens // 2
    return stored.bytes - stored.looked_up + shape.kv_bytes(middle, stored.width)


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


def decode_operations(shape: Shape, workload: Workload) -> int:
    """Multiplications and additions that make one token of each sequence, in the middle of the answer."""
    middle = workload.prompt_tokens + workload.generated_tokens // 2
    weights = shape.parameters - (0 if shape.tied else shape.head_parameters)
    return (2 * weights + 4 * shape.layers * shape.heads * shape.head_size * middle) * workload.batch


def roofline(speed: Speed, shape: Shape, *, read: int, weights: int, copy: float, matrix: float) -> dict[str, float]:
    """The machine's rates, and how much of each a model reached (above 1: its weights stayed in the caches).

    Args:
        speed: as measured.
        shape: of the model.
        read: bytes for each decoded token.
        weights: bytes of them that a forward pass reads.
        copy: bytes a second, read and written counted.
        matrix: operations a second of a product.
    """
    work = speed.workload
    operations = prefill_operations(shape, work)
    return {
        "copy_bytes_per_second": copy,
        "matrix_operations_per_second": matrix,
        "bytes_per_decoded_token": read,
        "decode_operations": decode_operations(shape, work) / work.batch,
        "prefill_bytes": weights,
        "prefill_operations": operations,
        "decode_share_of_copy_rate": speed.decode / work.batch * read / copy,
        "prefill_share_of_matrix_rate": speed.prefill / (work.prompt_tokens * work.batch) * operations / matrix,
    }
