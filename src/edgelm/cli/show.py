"""Say what something is: a checkpoint, a config, a report, a bundle, a submission, or a plug-in's options."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.checkpoint import CARD, Checkpoint, read_config
from edgelm.cli.console import Json, count, emit_json, emit_table, percent, progress, size
from edgelm.errors import MissingInput, UnknownName
from edgelm.plugins import KINDS, available
from edgelm.report import REPORT, Report
from edgelm.shapes import Shape, shape_of
from edgelm.submission import MANIFEST, Submission

Facts = dict[str, Any]  # what is shown, by name; numbers stay numbers in JSON
_BYTES = ("bytes", "memory", "predicted")
PHONE_CONTEXT = 2048  # tokens that the memory estimate allows for


def show(
    what: Annotated[str, typer.Argument(help="A folder, a config.json, a zip, or the name of a plug-in.")],
    digest: Annotated[
        bool, typer.Option("--digest", help="Also read all bytes of a checkpoint for its digest.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what something is, from headers and JSON alone: no weight is read, no model loaded."""
    facts = _facts(what, digest)
    if json:
        emit_json(facts)
    else:
        known = {name: value for name, value in facts.items() if value not in (None, "")}
        emit_table(("", ""), [(name, _readable(name, value)) for name, value in known.items()])


def _facts(what: str, digest: bool) -> Facts:
    path = Path(what)
    if path.is_file():
        if path.suffix == ".zip":
            return _submission(path)
        return {"config": str(path), **_shape(shape_of(read_config(path)))}
    if path.is_dir():
        for name, read in ((MANIFEST, _submission), (REPORT, _report), ("bundle.json", _bundle)):
            if (path / name).is_file():
                return read(path)
        return _checkpoint(Checkpoint(path), digest)
    return _plugin(what)


def _shape(shape: Shape) -> Facts:
    return {
        "family": shape.family, "layers": shape.layers, "width": shape.width, "feed-forward": shape.ffn,
        "heads": f"{shape.heads} query, {shape.kv_heads} key/value, of size {shape.head_size}",
        "vocabulary": shape.vocab, "context": shape.context, "tied embeddings": shape.tied,
        "parameters": shape.parameters, "FP16 bytes": 2 * shape.parameters,
        "FP16 bytes with 2,048 tokens of keys and values": 2 * shape.parameters + shape.kv_bytes(PHONE_CONTEXT, 2),
    }  # fmt: skip


def _checkpoint(checkpoint: Checkpoint, digest: bool) -> Facts:
    facts: Facts = {"checkpoint": str(checkpoint.path), **_shape(checkpoint.shape)}
    try:
        stored = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    except MissingInput as error:
        facts["weights"] = f"not here: {error.what}"
    else:
        facts |= {
            "stored parameters": checkpoint.parameters,
            "stored bytes": checkpoint.bytes,
            "dtypes": checkpoint.dtypes,
            "files": len(checkpoint.weight_files),
            "fits its config": _difference(checkpoint.shape.tensors, stored),
        }
    facts["prompting"] = checkpoint.prompting
    if (checkpoint.path / CARD).is_file():
        card = checkpoint.card
        facts |= {"derivation": card.derivation, "base": card.base, "recipe": " ".join(card.recipe),
                  "data": ", ".join(source.name for source in card.data), "licence": card.licence}  # fmt: skip
    if digest:
        total = sum(path.stat().st_size for path in checkpoint.weight_files)
        read = 0

        def advance(done: int) -> None:
            nonlocal read
            read += done
            bar("digest", read, total)

        with progress() as bar:
            facts["digest"] = checkpoint.compute_digest(advance)
    return facts


def _difference(expected: dict[str, tuple[int, ...]], stored: dict[str, tuple[int, ...]]) -> str:
    """'yes', or the first tensor that does not fit."""
    for name in sorted(expected.keys() | stored.keys()):
        if expected.get(name) != stored.get(name):
            return f"no: {name} is {stored.get(name, 'absent')}, expected {expected.get(name, 'none')}"
    return "yes"


def _report(path: Path) -> Facts:
    report = Report.load(path)
    facts: Facts = {"report of": report.name, "checkpoint": report.checkpoint, "parameters": report.parameters}
    for label, score in report.tasks.items():
        facts[label] = f"{percent(score.score)} % ({score.samples} of {score.of} rows, {score.protocol})"
    if report.speed:
        facts |= {"throughput": f"{float(report.speed.throughput):.1f} tokens/s",
                  "decode": f"{report.speed.decode:.1f} tokens/s", "device": report.speed.device}  # fmt: skip
    return facts | {f"memory, {meter}": value for meter, value in report.memory.items()}


def _bundle(path: Path) -> Facts:
    return read_config(path / "bundle.json")


def _submission(path: Path) -> Facts:
    with Submission(path) as submission:
        manifest = submission.manifest
        return {
            "submission": str(path), "team": manifest.team, "track": manifest.track, "title": manifest.title,
            "models": manifest.model_dump(mode="json")["models"], "files": len(manifest.files),
            "bytes": sum(file.size for file in manifest.files), "digest": submission.digest,
        }  # fmt: skip


def _plugin(name: str) -> Facts:
    found = [plugins[name] for kind in KINDS if kind != "cli" and name in (plugins := available(kind))]
    if not found:
        if "/" in name or "." in name:
            raise MissingInput(f"there is no file or folder {name}", mend="check the path")
        raise UnknownName("folder or plug-in", name, [name for kind in KINDS for name in available(kind)])
    plugin = found[0]
    facts: Facts = {plugin.kind: name, "what it is": plugin.summary}
    for field in dataclasses.fields(plugin.load()):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        facts[field.name] = "required" if required else f"{field.type} = {field.default}"
    return facts


def _readable(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{count(value)} ({size(value)})" if any(word in name for word in _BYTES) else count(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {count(item) if isinstance(item, int) else item}" for key, item in value.items())
    return str(value)
