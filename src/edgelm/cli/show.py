"""Say what something is: a checkpoint, a report, a bundle, a submission, a board or a plug-in."""

from __future__ import annotations

import dataclasses
import difflib
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.bundle import BUNDLE_LIST
from edgelm.checkpoint import CARD, Checkpoint, read_config, validate
from edgelm.cli.console import Json, count, emit_json, emit_table, percent, progress
from edgelm.cli.words import about, options
from edgelm.data.folder import SUITE, DataFolder
from edgelm.errors import BadFile, MissingInput, UnknownName
from edgelm.files import JsonLog, read_json
from edgelm.plugins import KINDS, available
from edgelm.report import REPORT, Report, answers_log
from edgelm.score.checksums import SUMS
from edgelm.score.standings import Standings
from edgelm.score.text import size, two
from edgelm.shapes import Shape, shape_of
from edgelm.submission import MANIFEST, Submission

Facts = dict[str, Any]  # what is shown, by name; numbers stay numbers in JSON
_BYTES = ("bytes", "memory", "predicted")
OPTIONS = "options"
STANDINGS = "standings.json"  # what makes a folder a board
VERIFIED, RESCORED = "verify.json", "rescore.json"  # as `verify` and `rescore` call them, which load much more
ARCHIVES = (".zip", ".tar", ".zst")
TAKEN = "the folder of a checkpoint, report, bundle, submission, board, verification, rescoring or suite"
NEAR = 0.7  # how like a plug-in's name another must be to be taken for it
COLUMN = {"kind": 24, "default": 40, "help": 40}  # characters in a line of a plug-in's options
PHONE_CONTEXT = 2048  # tokens that the memory estimate allows for


def show(
    what: Annotated[str, typer.Argument(help="A folder, a config.json, a submission's archive, or a plug-in's name.")],
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
    told = [{**each, "default": "required" if each["default"] is None else each["default"]} for each in given]
    rows = [(each["name"], *(_wrapped(each[key], width) for key, width in COLUMN.items())) for each in told]
    emit_table(columns, rows, title=f"\n{name.rpartition('/')[2]}:{given[0]['name']}=…")


def _wrapped(text: str, width: int) -> str:
    """Text in lines of that width; what is joined by + is parted behind one."""
    lines = textwrap.wrap(text.replace("+", "+ "), width, break_on_hyphens=False, break_long_words=False)
    return "\n".join(line.replace("+ ", "+") for line in lines)


def _facts(what: str, digest: bool) -> Facts:
    path = Path(what)
    if path.is_file():
        if path.suffix.casefold() in ARCHIVES:
            return _submission(path)
        return {"config": str(path), **_shape(shape_of(read_config(path)))}
    if path.is_dir():
        for name, read in _KINDS.items():
            if (path / name).exists():
                return read(path)
        if (path / "config.json").is_file():
            return _checkpoint(Checkpoint(path), digest)
        why = f"none of {', '.join(_KINDS)}, config.json"
        raise MissingInput(f"{path} holds nothing that edgelm knows", why=why, mend=f"give {TAKEN}")
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
    standing = validate(Standings, read_json(path / STANDINGS), path / STANDINGS)
    return {"board": standing.rules, "track": standing.track, "state": standing.state, **_teams(standing)}


def _teams(standing: Standings) -> Facts:
    """Who stands where on a track, and who does not."""
    ranks = {row.team: f"rank {row.rank}, {two(row.total)} points" for row in standing.shown}
    return {"teams": ranks or "none is ranked",
            "out of competition": [f"{out.team}: {'; '.join(out.reasons)}" for out in standing.ineligible]}  # fmt: skip


def _boards(path: Path) -> Facts:
    """The folder that `edgelm score` wrote: a board for each track."""
    tracks = sorted(found.parent for found in path.glob(f"*/{STANDINGS}"))
    if not tracks:
        raise MissingInput(f"{path} holds a list of checksums and no board", mend=f"give {TAKEN}")
    boards = [_board(track) for track in tracks]
    parts = {f"{board['track']}, {name}": board[name] for board in boards for name in ("teams", "out of competition")}
    return {"board": boards[0]["board"], "state": boards[0]["state"], **parts}


def _verified(path: Path) -> Facts:
    found = read_config(path / VERIFIED)
    try:
        results = {slot: {f"{each['code']} {each['tests']}": f"{each['verdict']}: {each['what']}" for each in own}
                   for slot, own in found["results"].items()}  # fmt: skip
        return {"verified submission": found["submission"], "verdict": found["verdict"], **results}
    except (KeyError, TypeError, AttributeError):
        raise BadFile(f"{path / VERIFIED} is no result of a verification", mend="run edgelm verify again") from None


def _rescored(path: Path) -> Facts:
    found = read_config(path / RESCORED)
    try:
        rows = [f"{row['slot']} {row['task']}: {row['status']}, claimed {_score(row['claimed'])}, recomputed "
                f"{_score(row['recomputed'])}" for row in found["rows"]]  # fmt: skip
        return {"rescored submission": found["submission"], "status": found["status"], "rows": rows}
    except (KeyError, TypeError, ValueError):
        raise BadFile(f"{path / RESCORED} is no result of rescoring", mend="run edgelm rescore again") from None


def _score(exact: str | None) -> str:
    return "–" if exact is None else percent(Fraction(exact))


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
        known = [name for kind in kinds for name in available(kind)]
        if difflib.get_close_matches(name.lower(), known, n=1, cutoff=NEAR):
            raise UnknownName("folder or plug-in", name, known)
        mend = f"give {TAKEN}, a config.json, a submission's archive, or a name that edgelm ls lists"
        raise MissingInput(f"there is no file, folder or plug-in {name}", mend=mend)
    plugin = found[0]
    target = plugin.load()
    return {
        plugin.kind: own, "what it is": plugin.summary, "more": about(target),
        "see also": [f"{other.kind}/{own}" for other in found[1:]],
        OPTIONS: [dataclasses.asdict(option) for option in options(target)],
    }  # fmt: skip


_KINDS = {  # what a folder is, by a file that only it has; the first that is there decides
    MANIFEST: _submission, REPORT: _report, BUNDLE_LIST: _bundle, STANDINGS: _board, VERIFIED: _verified,
    RESCORED: _rescored, SUMS: _boards, SUITE: _suite, "log": _unfinished,
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
