"""What the step `width` does to a model: feed-forward channels, then the stream, then query heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgelm.compress.base import FAMILIES, Progress, Tokens
from edgelm.compress.channels import Narrowing
from edgelm.compress.maths.attention import Attention, plan_heads
from edgelm.compress.maths.heads import HeadCollector
from edgelm.compress.maths.hidden import slice_hidden
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.rewrite import rewrite
from edgelm.files import canonical_json, sha256_bytes

if TYPE_CHECKING:
    from edgelm.compress.width import Width


def narrow_channels(model: Model, batches: Sequence[Tokens], step: Width, progress: Progress) -> dict[str, Any]:
    """Keep `step.ffn` channels of every layer; what the card says of it."""
    assert step.ffn is not None
    parts, ffn = FAMILIES[model.config["model_type"]], step.ffn
    made = rewrite(
        model, batches, {**model.config, "intermediate_size": ffn}, [f"mlp.{parts.writer}"],
        lambda number, layer: Narrowing(number, layer, parts, ffn, step.score, refit=step.update == "ls"),
        progress, "width: narrow layers",
    )  # fmt: skip
    return _said(made)


def narrow_stream(model: Model, batches: Sequence[Tokens], step: Width, progress: Progress) -> dict[str, Any]:
    """Keep `step.hidden` coordinates of the stream; what the card says of it."""
    assert step.hidden is not None
    return slice_hidden(model, batches, step.hidden, step.basis, step.untie, step.refit, progress)


def narrow_heads(model: Model, batches: Sequence[Tokens], step: Width, progress: Progress) -> dict[str, Any]:
    """Keep `step.heads` query heads of every layer; what the card says of it."""
    assert step.heads is not None
    before, heads = model.config, step.heads
    made = rewrite(
        model, batches, plan_heads(before, heads), [Attention.of(before).output],
        lambda number, layer: HeadCollector(layer, number, heads, before, step.score, step.update),
        progress, "width: remove heads",
    )  # fmt: skip
    return _said(made)


PARTS = {"ffn": narrow_channels, "hidden": narrow_stream, "heads": narrow_heads}


def narrow(model: Model, batches: Sequence[Tokens], step: Width, progress: Progress) -> dict[str, Any]:
    """All that a step asks for; for each part what the card says of it, and all warnings."""
    assert model.folder is not None
    record: dict[str, Any] = {}
    home = model.folder
    for part in step.parts(model.config):
        model.folder = home / part
        model.folder.mkdir(exist_ok=True)
        record[part] = PARTS[part](model, batches, step, progress)
    model.folder = home
    warnings = [warning for said in record.values() for warning in said.pop("warnings")]
    return {**record, "warnings": list(dict.fromkeys(warnings))}


def _said(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Records of layers as one: lists by layer, but for what was kept, of which there is a digest."""
    kept = {name: [layer[name] for layer in layers] for name in layers[0] if name.startswith("kept")}
    rest = {name: [layer[name] for layer in layers] for name in layers[0] if name not in (*kept, "warnings")}
    warnings = sorted({warning for layer in layers for warning in layer["warnings"]})
    return {"kept_sha256": sha256_bytes(canonical_json(kept)), **rest, "warnings": warnings}
