"""Compress a checkpoint: apply the steps, write, run what was written, and say on its card what it cost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

import edgelm
from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.base import Progress, Step, Tokens
from edgelm.compress.calibrate import Calibration, draw, further
from edgelm.compress.card import result_card
from edgelm.compress.config import portable
from edgelm.compress.costs.forecast import forecast
from edgelm.compress.fallback import BUILT_IN_WARNING, built_in
from edgelm.compress.page.page import write as write_page
from edgelm.compress.quality import Head, Reference
from edgelm.compress.recipe import Dtype, Row, plan, stored_dtype
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.saved import restore, save, work_folder
from edgelm.compress.stream.writing import write_weights
from edgelm.compress.vocabulary.byte_bpe import TOKENIZER
from edgelm.compress.vocabulary.settle import settled
from edgelm.compress.vocabulary.translate import Translation
from edgelm.compress.vocabulary.trim import STALE, tokenizer_files
from edgelm.data.texts import TextSource
from edgelm.errors import MissingInput, Unsupported
from edgelm.files import disk_errors
from edgelm.folders import new_folder, require_fresh
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

    No more than a layer, the head and the calibration text's states are in memory. A run that was killed goes on where
    it was when it is started again.

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
    texts = list(texts) or [built_in()]
    steps = settled(base, steps, lambda: texts, counting=True)
    rows = plan(base, steps, dtype)
    if not base.has_weights:
        raise MissingInput(f"{base.path} holds no weights", mend="give a whole checkpoint; --plan works without")
    require_fresh(out)
    options = {
        "texts": [{"name": text.name, "sha256": text.sha256} for text in texts], "tokens": tokens,
        "sequence": sequence, "seed": seed, "dtype": dtype,
    }  # fmt: skip
    calibration = draw(base, texts, tokens=tokens, sequence=sequence, seed=seed)
    if calibration.record["fallback"]:
        progress(BUILT_IN_WARNING, 0, 1)
    with work_folder(out, _identity(base, rows, calibration)) as work, new_folder(out) as folder:
        model, model.base = _opened(base), _opened(base)
        model.healing = lambda count: _in_own_tokens(model, further(base, texts, calibration, sequence, seed, count))
        records = _apply(model, steps, calibration, work, progress)
        target = stored_dtype(base, dtype)
        progress("write", 0, 1)
        cast = _write(base, model, folder, target)
        quality = _judge(Checkpoint(folder), model, target, calibration, progress)
        needs = asdict(forecast(base, rows, tokens, dtype))
        card = result_card(base, rows, _sized(records, rows), calibration, cast, quality, options, needs)
        Checkpoint(folder).write_card(card)
        write_page(Checkpoint(folder))
    return Checkpoint(out)


def _identity(base: Checkpoint, rows: Sequence[Row], calibration: Calibration) -> dict[str, Any]:
    """What a run must have in common with one that was killed, to go on from what that has left."""
    return {
        "edgelm": edgelm.__version__, "base": base.digest, "folder": str(base.path.resolve()),
        "steps": [row.step for row in rows[1:]], "calibration": calibration.record, "threads": torch.get_num_threads(),
    }  # fmt: skip


def _sized(records: Sequence[dict[str, Any]], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The records of the steps, with the size of the model after each."""
    return [record | {"parameters": row.parameters, "bytes": row.bytes}
            for record, row in zip(records, rows[1:], strict=True)]  # fmt: skip


def _opened(base: Checkpoint) -> Model:
    """The base's model, with its tokenizer's files."""
    model = Model.of(base)
    model.files = tokenizer_files(base.path)
    return model


def _apply(
    model: Model, steps: Sequence[Step], calibration: Calibration, work: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Apply the steps that change something, or take what an interrupted run has left; what each did, for the card."""
    records = []
    for number, step in enumerate(step for step in steps if not step.idle(model.config)):
        folder = work / f"{number}-{spec_of(step).partition(':')[0]}"
        record = restore(model, folder)
        if record is None:
            folder.mkdir(exist_ok=True)
            model.folder = folder
            start = time.perf_counter()
            made = step.apply(model, _in_own_tokens(model, calibration.batches), progress)
            record = {"step": spec_of(step), **made, "seconds": round(time.perf_counter() - start, 3)}
            save(model, folder, record)
        records.append(record)
    return records


def _in_own_tokens(model: Model, sequences: Sequence[Tokens]) -> Sequence[Tokens]:
    """Sequences of the base's tokens in those that the model has by now."""
    if model.idmap is None:
        return sequences
    assert model.base is not None
    translation = Translation(model.base.files[TOKENIZER], model.files[TOKENIZER], model.idmap)
    return [translation(tokens) for tokens in sequences]


def _write(base: Checkpoint, model: Model, folder: Path, dtype: str) -> dict[str, Any]:
    """Write weights, configuration and what is copied; what the cast to `dtype` did, for the card."""
    with disk_errors(folder):
        write_config(folder / "config.json", portable(model.config, dtype))
        for name in _COPIED:
            if name in model.files:
                (folder / name).write_bytes(model.files[name])
            elif (base.path / name).is_file() and not (model.idmap and name in STALE):
                shutil.copyfile(base.path / name, folder / name)
    return write_weights(model, folder, getattr(torch, dtype))


def _judge(
    result: Checkpoint, model: Model, dtype: str, calibration: Calibration, progress: Progress
) -> dict[str, Any]:
    """Run what was written, once in its own dtype, and compare it with the base.

    Raises:
        Unsupported: it overflows in its own dtype.
    """
    told = partial(progress, "judge the result")
    held_out = _in_own_tokens(model, calibration.held_out)
    probe = Model.of(result, getattr(torch, dtype)).final_states(held_out[:1], told)[0]
    written = Model.of(result)
    if not bool(torch.isfinite(Head(*written.head())(probe)).all()):
        raise Unsupported(f"the result overflows when run in {dtype}", mend="store it as --dtype float32")
    old = held_out if model.idmap is None else [[model.idmap[token] for token in tokens] for tokens in held_out]
    assert model.base is not None
    reference = Reference.of(model.base, old, partial(progress, "run the base"))
    return reference.compare(written, held_out, model.idmap, told)
