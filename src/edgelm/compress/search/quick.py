"""The quick search: what each axis costs alone, from one look at the base, added up for every shape that fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress, Step
from edgelm.compress.calibrate import draw
from edgelm.compress.recipe import Dtype, require_dense, stored_dtype
from edgelm.compress.search.candidates import PROGRAMS, SEARCHED, Space
from edgelm.compress.search.found import Found
from edgelm.compress.search.limits import Limit
from edgelm.compress.search.probe import probe
from edgelm.compress.search.ranking import within
from edgelm.compress.stream.device import device_of
from edgelm.compress.stream.imported import imported
from edgelm.compress.stream.model import Model
from edgelm.data.texts import TextSource
from edgelm.errors import MissingInput
from edgelm.headers import DTYPE_BYTES, TORCH_NAMES

_SMALL = {"cpu": 10**9, "cuda": 4 * 10**9}  # parameters of models to which what takes longer is done in minutes


def quick(
    base: Checkpoint,
    fixed: Sequence[Step],
    limit: Limit,
    texts: Sequence[TextSource],
    *,
    tokens: int = 16_384,
    sequence: int = 1024,
    dtype: Dtype = "float16",
    seed: int = 0,
    axes: Collection[str] = SEARCHED,
    programs: Collection[str] = PROGRAMS,
    device: str = "auto",
    progress: Progress = lambda what, done, total: None,
) -> Found:
    """Search for the recipe that is expected to cost least within a limit; nothing is written.

    Args:
        base: what is compressed.
        fixed: steps that are taken in any case; what they cut is not searched.
        limit: what the result shall fit.
        texts: to calibrate on.
        tokens: calibration tokens.
        sequence: tokens of a calibration sequence, at most.
        dtype: of the result's weights.
        seed: of the choice of text.
        axes: what may be cut besides: `AXES`.
        programs: which shall take the result if they take the base: fields of `Exports`.
        device: see `device_of`.
        progress: told what is being done.

    Raises:
        Unsupported: the checkpoint cannot be cut.
        MissingInput: it has no weights.
        BadOption: nothing fits, or the text is too little.
    """
    base = imported(base)
    require_dense(base)
    if not base.has_weights:
        raise MissingInput(f"{base.path} holds no weights", why="a search looks at what they compute",
                           mend="give a whole checkpoint, or a recipe")  # fmt: skip
    limit.require_less(base.shape.parameters)
    place = device_of(device)
    space = Space.of(base.config, fixed, axes, thorough=_affordable(base, place))
    held = within(space.candidates(_bytes(stored_dtype(base, dtype)), limit.context, programs), limit)
    calibration = draw(base, texts, tokens=tokens, sequence=sequence, seed=seed)
    model = Model.of(base, device=place)
    curves = probe(model, calibration.batches, calibration.held_out, space.choices, progress)
    return Found.of(space, held, curves, limit)


def _affordable(base: Checkpoint, place: torch.device) -> bool:
    """Whether what takes longer is done in minutes, and can be done to this model."""
    return base.config["model_type"] != "gpt2" and base.parameters < _SMALL[place.type]


def _bytes(dtype: str) -> int:
    """Bytes of a number, by torch's name of its dtype."""
    return next(DTYPE_BYTES[stored] for stored, name in TORCH_NAMES.items() if name == dtype)
