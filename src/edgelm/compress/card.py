"""The card of a compressed checkpoint: its parent's carried on, with what was done and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import transformers

import edgelm
from edgelm.checkpoint import Card, Checkpoint, Source
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
    parent, drawn = base.card, _drawn(records)
    further = [Source.model_validate(source) for source in drawn["sources"]] if drawn else []
    done = {
        "base": parent.base or base.path.resolve().name,
        "derivation": "from-scratch" if parent.derivation == "from-scratch" else "compressed",
        "recipe": [*parent.recipe, *(record["step"] for record in records)],
        "steps": [*parent.steps, *records],
        "options": [*_earlier_options(parent), {"steps": [record["step"] for record in records], **options}],
        "data": [*parent.data, *_together(calibration.sources, further)],
        "data_allowed": (parent.model_extra or {}).get("data_allowed") is not False
        and calibration.allowed
        and (drawn is None or drawn["allowed"]),
        "prompting": base.prompting,
        "parents": [base.digest, *parent.parents],
        "made_by": f"edgelm {edgelm.__version__}",
        "shape": {"before": _dimensions(rows[0]), "after": _dimensions(rows[-1])},
        "tensor_bytes": rows[-1].bytes,
        "quantized": False,
        "calibration": calibration.record,
        "healing": None if drawn is None else _healing(base, drawn, calibration),
        "cast": cast,
        "quality": quality,
        "forecast": needs,
        "memory": took,
        "warnings": [
            *losses(base),
            *_warnings(rows, records, calibration, cast, quality),
            *_worse(records),
            *_limited(options),
        ],
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
    }
    return Card.model_validate(parent.model_dump(exclude_unset=True, exclude={"search"}) | done)


def _drawn(records: Sequence[Record]) -> Record | None:
    """The text that only healing has read; None if no step was healing.

    What one step has drawn is the beginning of what another one that wanted more has drawn.
    """
    drawn: list[Record] = [record["learned_from"] for record in records if "learned_from" in record]
    return max(drawn, key=lambda each: int(each["tokens"]), default=None)


def _healing(base: Checkpoint, drawn: Record, calibration: Calibration) -> Record:
    """What healing has learned from, and whom: where there was no further text, from that of the calibration."""
    if not drawn["tokens"]:
        tokens, sequences = calibration.record["tokens"], calibration.record["sequences"]
        drawn = {"tokens": tokens, "sequences": sequences, "sources": [s.model_dump() for s in calibration.sources]}
    return {key: drawn[key] for key in ("tokens", "sequences", "sources")} | {"teacher": base.digest}


def _together(sources: Sequence[Source], further: Sequence[Source]) -> list[Source]:
    """The sources of both; where both have read of a text, it is one with the tokens of both."""
    made = list(sources)
    for source in further:
        for place, known in enumerate(made):
            if source.model_copy(update={"tokens": known.tokens}) == known:
                made[place] = known.model_copy(update={"tokens": known.tokens + source.tokens})
                break
        else:
            made.append(source)
    return made


def _worse(records: Sequence[Record]) -> list[str]:
    """Steps that shall bring a model nearer to its base, and did not."""
    found = []
    for before, record in pairwise(records):
        name, old, new = record["step"].partition(":")[0], before["quality"]["kl"], record["quality"]["kl"]
        if name in ("repair", "heal") and new > old:
            found.append(f"{name}: KL rose from {old:.4g} to {new:.4g}: leave it out, or give more text")
    return found


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
