"""What compressing takes on this machine: memory at the most, and disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from edgelm.compress.base import Config, Step
from edgelm.compress.costs.bounds import DOUBLE_BELOW, HELD, SLOPES, TOGETHER, TRIALS
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.repair import Repair
from edgelm.errors import BadOption
from edgelm.shapes import Shape, shape_of
from edgelm.train.costs.figures import size

LEAST = 1024  # calibration tokens below which a run is refused rather than made smaller
LIBRARIES = 900_000_000  # bytes of Python, torch and transformers, and tokenizers
_CUDA = 500_000_000  # of what computes on a GPU, besides
_FILLED = 0.9  # of TOGETHER tokens are there on average in what passes a layer of a GPU at once
_SOLVING = 3.2  # F × F matrices at the most, whatever is kept: two sums and an inverse, or a sum and two of the fit
_DOUBLE = 3.75  # of them where sums are in double precision: a product is brought to it before it is added
_BESIDE = 4.3  # D × F matrices besides: a sum, and of the fit both sides, a product and the solution
_SEQUENCE = 1024  # tokens that go through a layer at a time
_LOGITS = 6 * 256  # rows of logits while models are compared
_TRAINED = 16  # bytes of a parameter that learns: itself, its gradient and two moments, in float32


def peak(
    base: Config, configs: Sequence[Config], tokens: int, width: int, steps: Sequence[Step] = (), text: int = 0,
    gpu: bool = False,
) -> int:  # fmt: skip
    """Bytes of this machine's memory at the most, about; what a GPU has of its own is not counted.

    Args:
        base: configuration of the base.
        configs: of the model after each step.
        tokens: of calibration text.
        width: bytes of a stored weight.
        steps: what is done.
        text: bytes of the text that is drawn from, which stays in memory.
        gpu: whether layers are run on one.
    """
    shape = shape_of(base)
    layer = 4 * layer_parameters(shape)
    entered = 4 * tokens * shape.width
    stream = _pinned(tokens, shape.width) if gpu else entered
    heads = 2 * width * shape.head_parameters + 4 * 8192 * shape.width + 4 * _LOGITS * shape.vocab
    walking = 3 * stream + 2 * layer + 3 * 4 * _SEQUENCE * shape.ffn
    others = [_other(step, shape, shape_of(configs[-1]), stream) for step in steps]
    # A GPU holds sums and solutions but for one sum, and what was entered is then not given back to the system.
    walking += entered + 4 * shape.ffn**2 if gpu else _solving(shape, configs)
    return LIBRARIES + gpu * _CUDA + text + max(walking, heads + layer, *others)


def _pinned(tokens: int, width: int) -> int:
    """Bytes of a stream in pages that a GPU fetches from: torch rounds each block up to a power of two."""
    block = 1 << (4 * TOGETHER * width - 1).bit_length()
    return int(block * tokens / (_FILLED * TOGETHER))


def search(base: Config, tokens: int, text: int = 0, gpu: bool = False) -> int:
    """Bytes of memory of a quick search, at the most: it looks at each layer as narrowing does."""
    shape = shape_of(base)
    narrow = {**base, "intermediate_size": shape.ffn // 2}
    return peak(base, [narrow], tokens, 2, text=text, gpu=gpu)


def _solving(shape: Shape, configs: Sequence[Config]) -> int:
    """Of the sums and solutions that decide about feed-forward channels."""
    return _sums(shape.ffn, shape.width) if any(shape_of(config).ffn != shape.ffn for config in configs) else 0


def _sums(inputs: int, outputs: int) -> int:
    """Of the least squares for one matrix."""
    cell, matrices = (8, _DOUBLE) if inputs <= DOUBLE_BELOW else (4, _SOLVING)
    return int(cell * inputs * (matrices * inputs + _BESIDE * outputs))


def _other(step: Step, base: Shape, model: Shape, stream: int) -> int:
    """Of what some steps do besides: learning, trying layers out, comparing streams far apart."""
    layer = layer_parameters(base)
    learning = _TRAINED * layer + 2 * 4 * HELD * base.width
    if isinstance(step, Heal):
        return learning if step.method == "block" else 4 * base.parameters + _TRAINED * model.parameters
    if isinstance(step, Repair):
        beside = model.heads * model.head_size if model.family == "phi" else 0  # whose attention is fitted with it
        slopes = SLOPES if step.bend else 0
        return 5 * stream + 3 * 4 * layer + _sums(model.ffn + beside, model.width) + slopes
    if not isinstance(step, Depth):
        return 0
    between = base.layers - model.layers + 2 if step.score == "angle" else 2  # streams, of which two are compared
    trying = TRIALS if step.score == "kl" else between * stream
    return max(trying + 4 * layer, learning if step.replace else 0)


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


def disk(base: Config, configs: Sequence[Config], width: int, steps: Sequence[Step] = ()) -> int:
    """Bytes of disk at the most, about: what steps change, in float32, states of training, and the result."""
    shapes = [shape_of(config) for config in (base, *configs)]
    changed = sum(4 * shape.layers * layer_parameters(shape) for before, shape in pairwise(shapes)
                  if (shape.ffn, shape.width, shape.heads, shape.kv_heads)
                  != (before.ffn, before.width, before.heads, before.kv_heads))  # fmt: skip
    learned = sum(_learned(step, shapes[0], shapes[-1]) for step in steps)
    return changed + learned + width * shapes[-1].parameters


def _learned(step: Step, base: Shape, model: Shape) -> int:
    """What a step leaves that changes no shape."""
    if isinstance(step, Heal):
        moments = 0 if step.method in ("block", "lora") else (_TRAINED - 4) * model.parameters
        return 2 * moments + 4 * model.parameters  # a state and the next one
    if isinstance(step, Depth) and step.replace:
        return 4 * (base.layers - model.layers) * layer_parameters(base)
    return 0


def layer_parameters(shape: Shape) -> int:
    """Parameters of one layer."""
    outside = shape.head_parameters * (1 if shape.tied else 2)
    return (shape.parameters - outside) // shape.layers
