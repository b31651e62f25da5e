"""The card of a compressed checkpoint: its parent's carried on, with what was done and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers

import edgelm
from edgelm.checkpoint import Card, Checkpoint
from edgelm.compress.calibrate import Calibration
from edgelm.compress.recipe import Row
from edgelm.compress.stream.imported import losses

_MUCH_WORSE = 2.0  # factor of perplexity worth a warning
_MUCH_SMALLER = 0.35  # share of the parameters above which two rounds do better than one
Record = dict[str, Any]


def result_card(
    base: Checkpoint,
    rows: Sequence[Row],
    records: Sequence[Record],
    calibration: Calibration,
    cast: Record,
    quality: Record,
    options: Record,
    needs: Record,
    took: Record,
) -> Card:
    """The card of what the recipe made of `base`; what only the parent's card says is kept.

    A model trained from scratch stays one however it is cut; every other becomes a compressed one. Its `options`
    hold one entry for each run of `compress`, the last this one's: which steps it took, and with which options.
    """
    parent = base.card
    done = {
        "base": parent.base or base.path.resolve().name,
        "derivation": "from-scratch" if parent.derivation == "from-scratch" else "compressed",
        "recipe": [*parent.recipe, *(record["step"] for record in records)],
        "steps": [*parent.steps, *records],
        "options": [*_earlier_options(parent), {"steps": [record["step"] for record in records], **options}],
        "data": [*parent.data, *calibration.sources],
        "data_allowed": (parent.model_extra or {}).get("data_allowed") is not False and calibration.allowed,
        "prompting": base.prompting,
        "parents": [base.digest, *parent.parents],
        "made_by": f"edgelm {edgelm.__version__}",
        "shape": {"before": _dimensions(rows[0]), "after": _dimensions(rows[-1])},
        "tensor_bytes": rows[-1].bytes,
        "quantized": False,
        "calibration": calibration.record,
        "cast": cast,
        "quality": quality,
        "forecast": needs,
        "memory": took,
        "warnings": [*losses(base), *_warnings(rows, records, calibration, cast, quality), *_limited(options)],
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
    }
    return Card.model_validate(parent.model_dump(exclude_unset=True, exclude={"search"}) | done)


def _limited(options: Record) -> list[str]:
    asked, tokens = options["tokens_asked"], options["tokens"]
    return [f"--memory left room for {tokens:,} of {asked:,} calibration tokens"] if tokens < asked else []


def _earlier_options(parent: Card) -> list[Any]:
    found = (parent.model_extra or {}).get("options")
    return found if isinstance(found, list) else []


def _dimensions(row: Row) -> dict[str, int]:
    shape = row.shape
    return {"layers": shape.layers, "width": shape.width, "ffn": shape.ffn, "heads": shape.heads,
            "kv_heads": shape.kv_heads, "vocab": shape.vocab, "parameters": row.parameters}  # fmt: skip


def _warnings(
    rows: Sequence[Row],
    records: Sequence[Record],
    calibration: Calibration,
    cast: Record,
    quality: Record,
) -> list[str]:
    found = [warning for record in records for warning in record["warnings"]]
    removed = 1 - rows[-1].parameters / rows[0].parameters
    if removed > _MUCH_SMALLER:
        found.append(f"{removed:.0%} of the parameters removed in one go; two rounds with training between keep more")
    if quality["perplexity"] > _MUCH_WORSE * quality["perplexity_base"]:
        found.append(f"perplexity rose from {quality['perplexity_base']:.4g} to {quality['perplexity']:.4g}")
    return found + calibration.warnings + cast["warnings"]
