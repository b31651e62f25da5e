"""Say what something is: a checkpoint, a config, a report, a bundle, a submission, or a plug-in's options."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.bundle import BUNDLE_LIST
from edgelm.checkpoint import CARD, Checkpoint, read_config
from edgelm.cli.console import Json, count, emit_json, emit_table, percent, progress
from edgelm.cli.words import about, options
from edgelm.data.folder import SUITE, DataFolder
from edgelm.errors import BadFile, MissingInput, UnknownName
from edgelm.files import JsonLog, read_json
from edgelm.plugins import KINDS, available
from edgelm.report import REPORT, Report, answers_log
from edgelm.score.standings import Standings
from edgelm.score.text import size, two
from edgelm.shapes import Shape, shape_of
from edgelm.submission import MANIFEST, Submission

Facts = dict[str, Any]  # what is shown, by name; numbers stay numbers in JSON
_BYTES = ("bytes", "memory", "predicted")
OPTIONS = "options"
STANDINGS = "standings.json"  # what makes a folder a board
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
        known = {name: value for name, value in facts.items() if value not in (None, "", [], {})}
        rows = [(name, _readable(name, value)) for name, value in known.items() if name != OPTIONS]
        emit_table(("", ""), rows)
        if OPTIONS in known:
            _show_options(what, known[OPTIONS])


def _show_options(name: str, given: list[dict[str, Any]]) -> None:
    columns = ("option", "what may be given", "by default", "what it is for")
    rows = [(each["name"], each["kind"], "required" if each["default"] is None else each["default"], each["help"])
            for each in given]  # fmt: skip
    emit_table(columns, rows, title=f"\n{name.rpartition('/')[2]}:{given[0]['name']}=…")


def _facts(what: str, digest: bool) -> Facts:
    path = Path(what)
    if path.is_file():
        if path.suffix == ".zip":
            return _submission(path)
        return {"config": str(path), **_shape(shape_of(read_config(path)))}
    if path.is_dir():
        for name, read in _KINDS.items():
            if (path / name).exists():
                return read(path)
        if (path / "config.json").is_file():
            return _checkpoint(Checkpoint(path), digest)
        why = f"none of {', '.join(_KINDS)}, config.json"
        mend = "give the folder of a checkpoint, report, bundle, submission, board or suite"
        raise MissingInput(f"{path} holds nothing that edgelm knows", why=why, mend=mend)
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
    facts["scores"] = {label: score.model_dump(mode="json") for label, score in report.tasks.items()}
    if report.tasks:
        facts["answers"] = _damaged(path, report) or "all here, and their checksums hold"
    if speed := report.speed:
        facts |= {"tokens a second": round(float(speed.throughput), 1), "decoded a second": round(speed.decode, 1),
                  "spread of the repeats": speed.spread, "device": speed.device}  # fmt: skip
    return facts | {f"memory, {meter}": value for meter, value in report.memory.items()}


def _damaged(folder: Path, report: Report) -> list[str]:
    """What is wrong with the files of answers: one that is not here, is damaged, or has another number of them."""
    found = []
    for label, score in report.tasks.items():
        log = answers_log(folder, label)
        try:
            whole = len(log.read(repair=False))
        except BadFile as error:
            found.append(error.what)
            continue
        if not log.path.exists():
            found.append(f"there is no file {log.path}")
        elif whole != score.samples:
            found.append(f"{log.path} has {whole:,} whole answers, the report counts {score.samples:,}")
    return found


def _unfinished(path: Path) -> Facts:
    kept = {log.stem: len(JsonLog(log).read(repair=False)) for log in sorted((path / "log").glob("*.jsonl"))}
    return {"report": "not finished: give the same edgelm evaluate command again", "answers kept": kept}


def _board(path: Path) -> Facts:
    standing = Standings.model_validate(read_json(path / STANDINGS))
    ranks = {row.team: f"rank {row.rank}, {two(row.total)} points" for row in standing.shown}
    return {"board": standing.rules, "track": standing.track, "teams": ranks}


def _suite(path: Path) -> Facts:
    data = DataFolder(path, offline=True)
    return {"data": data.suite, "files": list(data.names)}


def _bundle(path: Path) -> Facts:
    return read_config(path / BUNDLE_LIST)


def _submission(path: Path) -> Facts:
    with Submission(path) as submission:
        manifest = submission.manifest
        return {
            "submission": str(path), "team": manifest.team, "track": manifest.track, "title": manifest.title,
            "models": manifest.model_dump(mode="json")["models"], "files": len(manifest.files),
            "bytes": sum(file.size for file in manifest.files), "digest": submission.digest,
        }  # fmt: skip


def _plugin(name: str) -> Facts:
    only, _, own = name.rpartition("/")  # devices/local is not engines/local
    kinds = [kind for kind in KINDS if kind != "cli" and only in ("", kind)]
    found = [plugins[own] for kind in kinds if own in (plugins := available(kind))]
    if not found:
        if "/" in name or "." in name:
            raise MissingInput(f"there is no file or folder {name}", mend="check the path")
        raise UnknownName("folder or plug-in", name, [name for kind in KINDS for name in available(kind)])
    plugin = found[0]
    target = plugin.load()
    return {
        plugin.kind: own, "what it is": plugin.summary, "more": about(target),
        "see also": [f"{other.kind}/{own}" for other in found[1:]],
        OPTIONS: [dataclasses.asdict(option) for option in options(target)],
    }  # fmt: skip


_KINDS = {  # what a folder is, by a file that only it has; the first that is there decides
    MANIFEST: _submission, REPORT: _report, BUNDLE_LIST: _bundle, STANDINGS: _board, SUITE: _suite, "log": _unfinished,
}  # fmt: skip


def _readable(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{count(value)} ({size(value)})" if any(word in name for word in _BYTES) else count(value)
    if name == "scores":
        return "\n".join(f"{task}: {percent(Fraction(score['score']))} % of {score['samples']} of {score['of']} rows "
                         f"({score['protocol']})" for task, score in value.items())  # fmt: skip
    if isinstance(value, float):
        if name.startswith("spread"):
            return f"{value:.1%}"
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_readable(key, item)}" for key, item in value.items())
    return str(value)
