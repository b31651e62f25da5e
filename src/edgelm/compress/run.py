"""Compress a checkpoint: apply the steps, write, run what was written, and say on its card what it cost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import edgelm
from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.base import Progress, Step
from edgelm.compress.calibrate import Calibration, draw
from edgelm.compress.card import result_card
from edgelm.compress.config import portable
from edgelm.compress.costs.forecast import forecast
from edgelm.compress.costs.memory import within
from edgelm.compress.costs.phone import read_per_token
from edgelm.compress.fallback import BUILT_IN_WARNING, built_in
from edgelm.compress.healing.further import Further
from edgelm.compress.judging import Judge, in_own_tokens
from edgelm.compress.page.page import write as write_page
from edgelm.compress.recipe import Dtype, Row, agreed_dtype, plan, stored_dtype, taken
from edgelm.compress.stream.device import device_of, peak_memory
from edgelm.compress.stream.imported import imported
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.saved import note, restore, save, work_folder
from edgelm.compress.stream.sound import require_one_head
from edgelm.compress.stream.writing import SHARD, write_weights
from edgelm.compress.vocabulary.settle import settled
from edgelm.compress.vocabulary.trim import STALE, tokenizer_files
from edgelm.data.texts import TextSource
from edgelm.errors import MissingInput
from edgelm.files import disk_errors
from edgelm.folders import new_folder, require_fresh
from edgelm.plugins import spec_of
from edgelm.shapes import shape_of

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
    dtype: Dtype | None = None,
    seed: int = 0,
    device: str = "auto",
    memory: int | None = None,
    shard: int = SHARD,
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
        dtype: of the result's weights; without, see `agreed_dtype`.
        seed: of the choice of text.
        device: what layers are run on: `cpu`, `cuda`, or by `auto` a GPU if there is one.
        memory: bytes that this process may take, at the most; it then calibrates on fewer tokens if it must.
        shard: bytes of a weight file, at the most; a tensor beyond that has one of its own.
        progress: told what is being done.

    Raises:
        Unsupported: the checkpoint cannot be cut, or its weights do not fit fp16.
        BadOption: an option does not fit the model, the text or the memory is too little, or `out` is taken.
        MissingInput: the base has no weights.
    """
    require_fresh(out)
    base, texts = imported(base), list(texts) or [built_in()]
    given, steps = steps, settled(base, steps, lambda: texts, counting=True)
    agreed = agreed_dtype(base, steps, dtype)
    rows = plan(base, steps, agreed)
    counted = any(one is not other for one, other in zip(given, steps, strict=True))  # in all text, to choose tokens
    steps = [step for step, _ in taken(base, steps)]
    if not base.has_weights:
        raise MissingInput(f"{base.path} holds no weights", mend="give a whole checkpoint; --plan works without")
    require_one_head(base)
    place = device_of(device)
    needed = partial(
        forecast, base, rows, dtype=agreed, text=sum(text.resident for text in texts), gpu=place.type == "cuda"
    )
    asked, tokens = tokens, within(memory, tokens, lambda tokens: needed(tokens).memory)
    options = {
        "texts": [{"name": text.name, "sha256": text.sha256} for text in texts], "tokens": tokens,
        "tokens_asked": asked, "sequence": sequence, "seed": seed, "dtype": agreed, "memory": memory,
    }  # fmt: skip
    calibration = draw(base, texts, tokens=tokens, sequence=sequence, seed=seed, counted=counted)
    if calibration.record["fallback"]:
        progress(BUILT_IN_WARNING, 0, 1)
    identity = _identity(base, rows, texts, calibration, sequence, place)
    with work_folder(out, identity) as work, new_folder(out) as folder:
        model, model.base = _opened(base, place), _opened(base, place)
        further = Further(base, texts, calibration, sequence, seed)
        model.healing = lambda count: in_own_tokens(model, further.draw(count))
        target = stored_dtype(base, agreed)
        judge = Judge(model.base, calibration.held_out, target, progress)
        records = _apply(model, steps, calibration, further, work, judge, progress)
        progress("write", 0, 1)
        cast = _write(base, model, folder, target, shard)
        quality = judge.written(Checkpoint(folder), model, calibration.probes)
        needs = asdict(needed(tokens))
        card = result_card(base, rows, _described(records, rows, quality), calibration, cast, quality, options, needs,
                           peak_memory(place))  # fmt: skip
        Checkpoint(folder).write_card(card)
        write_page(Checkpoint(folder))
    return Checkpoint(out)


def _identity(
    base: Checkpoint, rows: Sequence[Row], texts: Sequence[TextSource], calibration: Calibration, sequence: int,
    place: torch.device,
) -> dict[str, Any]:  # fmt: skip
    """What a run must have in common with one that was killed, to go on from what that has left."""
    return {
        "edgelm": edgelm.__version__, "torch": torch.__version__, "transformers": transformers.__version__,
        "base": base.digest, "folder": str(base.path.resolve()), "steps": [row.step for row in rows[1:]],
        "texts": [text.sha256 for text in texts], "calibration": calibration.record, "sequence": sequence,
        "threads": torch.get_num_threads(), "device": place.type,
    }  # fmt: skip


def _described(records: Sequence[dict[str, Any]], rows: Sequence[Row], quality: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the steps, with size and quality of the model after each, and the bytes it reads for a token."""
    made = [
        {**record, "parameters": row.parameters, "bytes": row.bytes,
         "read": read_per_token(row.shape, row.bytes // row.parameters)}
        for record, row in zip(records, rows[1:], strict=True)
    ]  # fmt: skip
    return [*made[:-1], *({**last, "quality": quality} for last in made[-1:])]


def _opened(base: Checkpoint, place: torch.device) -> Model:
    """The base's model, with its tokenizer's files."""
    model = Model.of(base, device=place)
    model.files = tokenizer_files(base.tokenizer_path)
    return model


def _apply(
    model: Model, steps: Sequence[Step], calibration: Calibration, further: Further, work: Path, judge: Judge,
    progress: Progress,
) -> list[dict[str, Any]]:  # fmt: skip
    """Apply the steps, or take what an interrupted run has left; what each did, for the card.

    Quality after the last step is not measured here: it is that of what will be written.
    """
    records: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        folder = work / f"{number}-{spec_of(step).partition(':')[0]}"
        before = shape_of(model.config)
        record = restore(model, folder)
        if record is None:
            folder.mkdir(exist_ok=True)
            model.folder = folder
            start = time.perf_counter()
            made = step.apply(model, in_own_tokens(model, calibration.batches), progress)
            seconds = round(time.perf_counter() - start, 3)
            record = {"step": spec_of(step), **made, **further.told(), "seconds": seconds}
            save(model, folder, record)
        if "speed" not in record:
            same = records and shape_of(model.config) == before  # as fast, whatever its weights are
            record["speed"] = records[-1]["speed"] if same else judge.speed(model)
            if number < len(steps) - 1:
                record["quality"] = judge.quality(model, model, f"after {record['step']}")
            note(folder, record)
        records.append(record)
    return records


def _write(base: Checkpoint, model: Model, folder: Path, dtype: str, shard: int) -> dict[str, Any]:
    """Write weights, configuration and what is copied; what the cast to `dtype` did, for the card."""
    with disk_errors(folder):
        write_config(folder / "config.json", portable(model.config, dtype))
        for name in _COPIED:
            if name in model.files:
                (folder / name).write_bytes(model.files[name])
            elif (base.path / name).is_file() and not (model.idmap and name in STALE):
                shutil.copyfile(base.path / name, folder / name)
        if model.idmap:  # to learn from the base later: its id of each token
            np.save(folder / "idmap.npy", np.asarray(model.idmap, np.int64))
    return write_weights(model, folder, getattr(torch, dtype), shard)
