"""Compress a checkpoint: load, apply the steps, write, load what was written, and say on its card what it cost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.base import Config, Progress, Step
from edgelm.compress.calibrate import Calibration, draw
from edgelm.compress.card import result_card
from edgelm.compress.config import portable
from edgelm.compress.fallback import BUILT_IN_WARNING, built_in
from edgelm.compress.model import Decoder
from edgelm.compress.quality import Reference
from edgelm.compress.recipe import Dtype, plan, stored_dtype
from edgelm.compress.weights import save_weights
from edgelm.data.texts import TextSource
from edgelm.errors import MissingInput, Unsupported
from edgelm.files import disk_errors
from edgelm.folders import new_folder
from edgelm.plugins import spec_of

_COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json",
    "LICENSE", "LICENSE.txt", "NOTICE", "USE_POLICY.md",
)  # fmt: skip


def compress(
    base: Checkpoint,
    steps: Sequence[Step],
    out: Path,
    *,
    texts: Sequence[TextSource] = (),
    tokens: int = 16_384,
    sequence: int = 1024,
    dtype: Dtype = "float16",
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> Checkpoint:
    """Write the compressed checkpoint into the new folder `out`: a stock model with its card.

    Args:
        base: what to compress.
        steps: applied in order; those that would change nothing are left out.
        out: must not exist, or be empty.
        texts: to calibrate and judge on; the built-in text if none.
        tokens: calibration tokens.
        sequence: tokens of a calibration sequence, at most.
        dtype: of the result's weights.
        seed: of the choice of text.
        progress: told what is being done.

    Raises:
        Unsupported: the checkpoint cannot be cut, or its weights do not fit fp16.
        BadOption: an option does not fit the model, the text is too little, or `out` is taken.
        MissingInput: the base has no weights.
    """
    rows = plan(base, steps, dtype)
    if not base.has_weights:
        raise MissingInput(f"{base.path} holds no weights", mend="give a whole checkpoint; --plan works without")
    texts = list(texts) or [built_in()]
    options = {
        "texts": [{"name": text.name, "sha256": text.sha256} for text in texts], "tokens": tokens,
        "sequence": sequence, "seed": seed, "dtype": dtype,
    }  # fmt: skip
    with new_folder(out) as folder:
        calibration = draw(base, texts, tokens=tokens, sequence=sequence, seed=seed)
        if calibration.record["fallback"]:
            progress(BUILT_IN_WARNING, 0, 1)
        progress("load the base", 0, 1)
        model = Decoder.load(base)
        reference = Reference.of(model, calibration.held_out)
        records = _apply(model, steps, calibration, progress)
        target = stored_dtype(base, dtype)
        progress("write", 0, 1)
        config, tensors = model.config, model.tensors(list(rows[-1].shape.tensors))
        cast = _write(base, config, tensors, folder, target)
        del model, tensors
        quality = _judge(Checkpoint(folder), target, reference, progress)
        Checkpoint(folder).write_card(result_card(base, rows, records, calibration, cast, quality, options))
    return Checkpoint(out)


def _apply(model: Decoder, steps: Sequence[Step], calibration: Calibration, progress: Progress) -> list[dict[str, Any]]:
    """Apply the steps that change something; what each did, for the card."""
    records = []
    for step in steps:
        if not step.idle(model.config):
            start = time.perf_counter()
            record = step.apply(model, calibration.batches, progress)
            records.append({"step": spec_of(step), **record, "seconds": round(time.perf_counter() - start, 3)})
    return records


def _write(base: Checkpoint, config: Config, tensors: dict[str, Tensor], folder: Path, dtype: str) -> dict[str, Any]:
    """Write weights, configuration and what is copied; what the cast to `dtype` did, for the card."""
    with disk_errors(folder):
        write_config(folder / "config.json", portable(config, dtype))
        for name in _COPIED:
            if (base.path / name).is_file():
                shutil.copyfile(base.path / name, folder / name)
        return save_weights(folder / "model.safetensors", tensors, getattr(torch, dtype))


def _judge(result: Checkpoint, dtype: str, reference: Reference, progress: Progress) -> dict[str, Any]:
    """Load what was written, run it once in its own dtype, and compare it with the base.

    Raises:
        Unsupported: it overflows in its own dtype.
    """
    progress("judge the result", 0, 1)
    model = Decoder.load(result, getattr(torch, dtype))
    probe = reference.held_out[0]
    if not bool(torch.isfinite(model.head(model.final_states(probe))).all()):
        raise Unsupported(f"the result overflows when run in {dtype}", mend="store it as --dtype float32")
    model.network.float()
    return reference.compare(model)
