"""Compress a checkpoint: load, apply the steps, write, load what was written, and say on its card what it cost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

import edgelm
from edgelm.checkpoint import Card, Checkpoint, write_config
from edgelm.compress.base import Progress, Step
from edgelm.compress.calibrate import Calibration, draw
from edgelm.compress.config import portable
from edgelm.compress.model import Decoder
from edgelm.compress.quality import Reference
from edgelm.compress.recipe import Dtype, Row, plan, spec, stored_dtype
from edgelm.compress.texts import TextSource, built_in
from edgelm.compress.weights import save_weights
from edgelm.errors import MissingInput, Unsupported
from edgelm.files import disk_errors, new_folder

_COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json",
    "LICENSE", "LICENSE.txt", "NOTICE", "USE_POLICY.md",
)  # fmt: skip
_MUCH_WORSE = 2.0  # factor of perplexity worth a warning
_MUCH_SMALLER = 0.35  # share of the parameters above which two rounds do better than one


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
    with new_folder(out) as folder:
        calibration = draw(base, list(texts) or [built_in()], tokens=tokens, sequence=sequence, seed=seed)
        progress("load the base", 0, 1)
        model = Decoder.load(base)
        reference = Reference.of(model, calibration.held_out)
        records = _apply(model, steps, calibration, progress)
        target = stored_dtype(base, dtype)
        progress("write", 0, 1)
        cast = _write(base, model, folder, target)
        del model
        quality = _judge(Checkpoint(folder), target, reference, progress)
        card = _card(base, rows, records, calibration, cast, quality, seed)
        Checkpoint(folder).write_card(card)
    return Checkpoint(out)


def _apply(model: Decoder, steps: Sequence[Step], calibration: Calibration, progress: Progress) -> list[dict[str, Any]]:
    """Apply the steps that change something; what each did, for the card."""
    records = []
    for step in steps:
        if not step.idle(model.config):
            start = time.perf_counter()
            record = step.apply(model, calibration.batches, progress)
            records.append({"step": spec(step), **record, "seconds": round(time.perf_counter() - start, 3)})
    return records


def _write(base: Checkpoint, model: Decoder, folder: Path, dtype: str) -> dict[str, Any]:
    """Write weights, configuration and what is copied; what the cast to `dtype` did, for the card."""
    config = portable(model.config, dtype)
    with disk_errors(folder):
        write_config(folder / "config.json", config)
        for name in _COPIED:
            if (base.path / name).is_file():
                shutil.copyfile(base.path / name, folder / name)
        names = list(Checkpoint(folder).shape.tensors)
        return save_weights(folder / "model.safetensors", model.tensors(names), getattr(torch, dtype))


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


def _card(
    base: Checkpoint,
    rows: Sequence[Row],
    records: Sequence[dict[str, Any]],
    calibration: Calibration,
    cast: dict[str, Any],
    quality: dict[str, Any],
    seed: int,
) -> Card:
    """The parent's card carried on."""
    parent = base.card
    derivation: Literal["compressed", "from-scratch"] = (
        "from-scratch" if parent.derivation == "from-scratch" else "compressed"
    )
    carried = parent.model_dump(exclude={"made_by"}, exclude_unset=True)
    extra = {
        "shape": {"before": _dimensions(rows[0]), "after": _dimensions(rows[-1])},
        "calibration": calibration.record,
        "cast": cast,
        "quality": quality,
        "seed": seed,
        "warnings": _warnings(rows, records, calibration, cast, quality),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
    }
    return Card.model_validate(
        carried
        | extra
        | {
            "base": parent.base or base.path.resolve().name,
            "derivation": derivation,
            "recipe": [*parent.recipe, *(record["step"] for record in records)],
            "steps": [*parent.steps, *records],
            "data": [*parent.data, *calibration.sources],
            "prompting": base.prompting,
            "parents": [base.digest, *parent.parents],
            "made_by": f"edgelm {edgelm.__version__}",
        }
    )


def _dimensions(row: Row) -> dict[str, int]:
    shape = row.shape
    return {"layers": shape.layers, "width": shape.width, "ffn": shape.ffn, "heads": shape.heads,
            "kv_heads": shape.kv_heads, "vocab": shape.vocab, "parameters": row.parameters}  # fmt: skip


def _warnings(
    rows: Sequence[Row],
    records: Sequence[dict[str, Any]],
    calibration: Calibration,
    cast: dict[str, Any],
    quality: dict[str, Any],
) -> list[str]:
    found = [warning for record in records for warning in record["warnings"]]
    removed = 1 - rows[-1].parameters / rows[0].parameters
    if removed > _MUCH_SMALLER:
        found.append(f"{removed:.0%} of the parameters removed in one go; two rounds with training between keep more")
    if quality["perplexity"] > _MUCH_WORSE * quality["perplexity_base"]:
        found.append(f"perplexity rose from {quality['perplexity_base']:.4g} to {quality['perplexity']:.4g}")
    if calibration.record["fallback"]:
        found.append("calibrated on the short built-in text; give text like that of the model's task")
    return found + cast["warnings"]
