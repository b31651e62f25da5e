"""What a model takes on a phone: memory while it runs, and the bytes it reads for each token."""

from __future__ import annotations

from edgelm.shapes import Shape

RESERVE = 400_000_000  # bytes of a runtime beside weights and cache, where no device has said
CONTEXT = 2048  # tokens that memory is reckoned for


def memory(shape: Shape, width: int, context: int = CONTEXT) -> int:
    """Bytes at a context: weights, keys and values, a token's logits in float32, and the runtime's own.

    Args:
        shape: of the model.
        width: bytes of a weight.
        context: tokens of prompt and answer together.
    """
    return width * shape.parameters + shape.kv_bytes(context, width) + 4 * shape.vocab + RESERVE


def read_per_token(shape: Shape, width: int, context: int = CONTEXT) -> int:
    """Bytes that writing one token reads, which is what its time goes into: weights, keys and values.

    Of an embedding that is no head, one row is looked up, which is nothing; the head is read whole.
    """
    looked_up = 0 if shape.tied else shape.head_parameters
    return width * (shape.parameters - looked_up) + shape.kv_bytes(context, width)
