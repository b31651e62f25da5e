"""What compressing takes on this machine: memory at the most, and disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from edgelm.compress.base import Config
from edgelm.errors import BadOption
from edgelm.shapes import Shape, shape_of
from edgelm.train.costs.figures import size

LEAST = 1024  # calibration tokens below which a run is refused rather than made smaller
LIBRARIES = 450_000_000  # bytes of Python, torch and transformers
_SOLVING = (
    6  # matrices of F × F in memory at the most while channels are chosen: two sums, a factor, an inverse, two more
)
_TRAINED = 16  # bytes of a parameter that learns: itself, its gradient and two moments, in float32
_DOUBLE_BELOW = 4096  # channels up to which they are in double precision, as in `compress/channels.py`


def peak(base: Config, configs: Sequence[Config], tokens: int, width: int, *, whole: bool = False) -> int:
    """Bytes of memory at the most, about.

    Args:
        base: configuration of the base.
        configs: of the model after each step.
        tokens: of calibration text.
        width: bytes of a stored weight.
        whole: whether a step trains the model beside the base, both in memory.
    """
    shape = shape_of(base)
    training = 4 * shape.parameters + _TRAINED * shape_of(configs[-1]).parameters if whole else 0
    layer = 4 * layer_parameters(shape)
    streams = 2 * 4 * tokens * shape.width
    heads = 2 * width * shape.head_parameters + 4 * 8192 * shape.width + 3 * 4 * 256 * shape.vocab
    narrowed = any(shape_of(config).ffn != shape.ffn for config in configs)
    cell = 8 if shape.ffn <= _DOUBLE_BELOW else 4
    solving = _SOLVING * cell * shape.ffn**2 + 3 * cell * shape.width * shape.ffn if narrowed else 0
    return LIBRARIES + streams + max(2 * layer + solving, heads, training)


def within(limit: int | None, tokens: int, needed: Callable[[int], int]) -> int:
    """As many of these calibration tokens as fit a limit of memory, in bytes; without a limit, all.

    Args:
        limit: of the whole process.
        tokens: that are wanted.
        needed: bytes that a run on so many tokens takes.

    Raises:
        BadOption: it is too little for any run; names the smallest that is not.
    """
    if limit is None or needed(tokens) <= limit:
        return tokens
    enough = min(tokens, LEAST)
    if needed(enough) > limit:
        raise BadOption(f"--memory {size(limit)} is too little for this recipe",
                        why=f"with {enough:,} calibration tokens it takes {size(needed(enough))}",
                        mend=f"give --memory {-(-needed(enough) // 10**8) / 10:.1f}GB or more")  # fmt: skip
    too_many = tokens
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        enough, too_many = (middle, too_many) if needed(middle) <= limit else (enough, middle)
    return enough


def disk(base: Config, configs: Sequence[Config], width: int) -> int:
    """Bytes of disk at the most, about: what steps change, in float32, and the result."""
    shapes = [shape_of(config) for config in (base, *configs)]
    changed = sum(4 * shape.layers * layer_parameters(shape) for before, shape in pairwise(shapes)
                  if (shape.ffn, shape.width, shape.heads, shape.kv_heads)
                  != (before.ffn, before.width, before.heads, before.kv_heads))  # fmt: skip
    return changed + width * shapes[-1].parameters


def layer_parameters(shape: Shape) -> int:
    """Parameters of one layer."""
    outside = shape.head_parameters * (1 if shape.tied else 2)
    return (shape.parameters - outside) // shape.layers
