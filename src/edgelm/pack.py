"""`edgelm pack`: join checkpoints, reports, bundles and source into one submission that names every file by digest."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from edgelm import __version__
from edgelm.archives import zip_tree
from edgelm.bundle import BUNDLE_LIST
from edgelm.checkpoint import CARD, Card, Checkpoint, Source, digest_of, validate
from edgelm.data.texts import BUILT_IN
from edgelm.errors import BadFile, BadOption, MissingInput, UnknownName, Unsupported
from edgelm.files import disk_errors, read_json, sha256_file, tree_files, write_bytes, write_json
from edgelm.folders import new_folder, require_fresh
from edgelm.plugins import available
from edgelm.report import Report, answers_log
from edgelm.results.canonical import results_file
from edgelm.rules import Rules, Track
from edgelm.submission import BUNDLE, MANIFEST, README, RESULTS, SOURCE, Submission

LINK_FROM = 1 << 16  # bytes: larger files of checkpoints and bundles are hard-linked rather than copied
LEFT_OUT = {".git", "__pycache__", ".venv"}  # of a source folder
Progress = Callable[[int], object]  # told the bytes read


class Entry(NamedTuple):
    """What fills one slot: a checkpoint, what was reported on it, what goes onto the phone, and that it runs there."""

    checkpoint: Path
    reports: tuple[Path, ...] = ()
    bundle: Path | None = None
    proof: Path | None = None  # folder with a screenshot, or error.txt


def pack(
    entries: Mapping[str, Entry],
    *,
    team: str,
    track: str,
    rules: Rules,
    out: Path,
    source: Path | None = None,
    title: str = "",
    method: str = "",
    contact: str = "",
    omitted: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Submission:
    """The submission at `out`, a folder, or a zip if the name ends so; whole or not at all.

    `entries` are by slot of the track, and `omitted` says why a slot brings no model. `source` is a folder of runnable
    source with a README.md; without it one is written from the cards' recipes. `progress` is told the bytes read.

    Raises:
        UnknownName: no such track or slot.
        MissingInput: a slot has neither model nor reason; a folder lacks what it must hold.
        BadOption: a report or bundle is of another checkpoint; `out` exists, or lies in `source`.
    """
    omitted = omitted or {}
    if source is not None and out.resolve().is_relative_to(source.resolve()):
        raise BadOption(f"{out} lies in the source folder {source}", why="the package would be copied into itself",
                        mend="choose an -o outside the source, or a source folder of its own")  # fmt: skip
    _require_slots(rules.track(track), entries, omitted)
    models = {slot: _Model.open(slot, Entry(*entry), progress) for slot, entry in entries.items()}
    with _appear(out) as folder:
        for model in models.values():
            model.write(folder / "models" / model.slot)
        _write_source(folder / SOURCE, source, models.values())
        claims = results_file({slot: model.report for slot, model in models.items()}, rules)
        write_bytes(folder / RESULTS, claims.encode())
        known = {f"models/{m.slot}/checkpoint/{name}": sha for m in models.values() for name, sha in m.digests.items()}
        files = [_file_entry(folder, name, known, progress) for name in tree_files(folder)]
        places = {slot: f"models/{slot}" for slot in models} | {slot: {"omitted": why} for slot, why in omitted.items()}
        write_json(folder / MANIFEST, {
            "format": 1, "team": team, "track": track, "rules": rules.digest, "title": title, "method": method,
            "contact": contact, "models": places, "files": files, "claims": RESULTS, "made_by": f"edgelm {__version__}",
        })  # fmt: skip
    return Submission(out)


def _require_slots(track: Track, entries: Mapping[str, Entry], omitted: Mapping[str, str]) -> None:
    for slot in (*entries, *omitted):
        if slot not in track.slots:
            raise UnknownName("slot", slot, track.slots)
    for slot in track.slots:
        if slot in entries and slot in omitted:
            raise BadOption(f"slot '{slot}' has a model and is declared omitted", mend="give one or the other")
        if slot not in entries and slot not in omitted:
            raise MissingInput(f"track '{track.name}' asks for a model '{slot}'", mend="add it, or say why not")


@dataclass(frozen=True)
class _Model:
    """A slot's model, read and found to belong together."""

    slot: str
    checkpoint: Checkpoint
    digests: Mapping[str, str]  # of the checkpoint's files
    card: Card
    report: Report | None
    answers: Mapping[str, Path]  # by task
    folders: Mapping[str, Path]  # `bundle` and `proof`, as far as given

    @classmethod
    def open(cls, slot: str, entry: Entry, progress: Progress | None) -> _Model:
        checkpoint = Checkpoint(entry.checkpoint)
        digests = checkpoint.file_digests(progress)
        digest = digest_of(digests)
        report: Report | None = None
        answers: dict[str, Path] = {}
        for folder in entry.reports:
            found = Report.load(folder)
            _require_same(f"the report {folder}", found.checkpoint, digest, "run edgelm evaluate or measure again")
            report = report | found if report else found
            answers |= {task: _answers(folder, task) for task in found.tasks}
        if entry.bundle is not None:
            _require_same(f"the bundle {entry.bundle}", _bundled(entry.bundle), digest, "run edgelm deploy again")
        if entry.proof is not None and not entry.proof.is_dir():
            raise MissingInput(f"there is no folder {entry.proof}", mend="give the one with a screenshot or error.txt")
        folders = {name: path for name, path in ((BUNDLE, entry.bundle), ("proof", entry.proof)) if path is not None}
        return cls(slot, checkpoint, digests, _card(slot, checkpoint), report, answers, folders)

    def write(self, folder: Path) -> None:
        """Put the model into its folder of the package."""
        for name in self.digests:
            _place(self.checkpoint.path / name, folder / "checkpoint" / name)
        card = self.card.model_dump(mode="json", exclude_defaults=True)
        write_json(folder / CARD, card | {"data": [source.model_dump(mode="json") for source in self.card.data]})
        if self.report:
            self.report.save(folder / "report")
        for task, origin in self.answers.items():
            log = answers_log(folder / "report", task).path
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, log)  # never linked: evaluate may write to it again
        for part, path in self.folders.items():
            for name in tree_files(path, links=True):
                _place(path / name, folder / part / name)


def _answers(report: Path, task: str) -> Path:
    path = answers_log(report, task).path
    if not path.is_file():
        raise MissingInput(f"{report} lacks the answers of {task}", mend="run edgelm evaluate again")
    return path


def _require_same(what: str, found: object, digest: str, mend: str) -> None:
    if found != digest:
        raise BadOption(f"{what} was made from another checkpoint", why=f"digests {str(found)[:12]} and {digest[:12]}",
                        mend=mend)  # fmt: skip


def _bundled(folder: Path) -> object:
    """The digest of the checkpoint that a bundle was made from."""
    bundle = read_json(folder / BUNDLE_LIST)
    if not isinstance(bundle, dict):
        raise BadFile(f"{folder / BUNDLE_LIST} holds no JSON object", mend="run edgelm deploy again")
    return bundle.get("checkpoint")


def _card(slot: str, checkpoint: Checkpoint) -> Card:
    """The checkpoint's card, with what headers and configuration say."""
    found = {"slot": slot, "prompting": checkpoint.prompting, "parameters": checkpoint.parameters,
             "dtype": "+".join(checkpoint.dtypes)}  # fmt: skip
    with contextlib.suppress(Unsupported):
        found["context_length"] = checkpoint.shape.context
    return checkpoint.card.model_copy(update=found)


def _place(origin: Path, target: Path) -> None:
    """Hard-link a large file, copy a small one or one from another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    origin = origin.resolve()
    if origin.stat().st_size >= LINK_FROM:
        with contextlib.suppress(OSError):
            os.link(origin, target)
            return
    shutil.copyfile(origin, target)


def _write_source(folder: Path, source: Path | None, models: Iterable[_Model]) -> None:
    if source is None:
        write_bytes(folder / README, _readme(models).encode())
        return
    if not (source / README).is_file():
        raise MissingInput(f"{source} holds no {README}", mend="write the commands that rebuild the models")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), ignore_dangling_symlinks=True)


def _readme(models: Iterable[_Model]) -> str:
    """How to make each checkpoint again, from its card."""
    lines = ["# How these checkpoints were made", ""]
    for model in models:
        made_by = f" (with {model.card.made_by})" if model.card.made_by else ""
        commands = [shlex.join(["edgelm", *words]) for words in _commands(model.slot, model.card)]
        lines += [f"## {model.slot}{made_by}", "", "```", *(commands or ["# its card records no recipe"]), "```", ""]
        texts = dict.fromkeys(f"- {text.name}, sha256 {text.sha256}" for text in model.card.data if text.sha256)
        lines += ["Text, by its uncompressed bytes; `DATA` is a folder with it:", "", *texts, ""] if texts else []
    return "\n".join(lines)


class _Run(BaseModel):
    """One run of `edgelm compress`, as cards keep it."""

    steps: list[str]
    texts: list[Source]
    tokens: int
    sequence: int
    seed: int
    dtype: str

    @property
    def words(self) -> list[str]:
        """Its steps and options on the command line."""
        names = [text.name for text in self.texts if text.name != BUILT_IN]
        files = any("." in name for name in names)  # data sets of a data folder have names without an ending
        given = [word for name in names for word in ("--calib", name)] if files else ["--data", "DATA"]
        return [*self.steps, *(given if names else []), "--calib-tokens", str(self.tokens),
                "--seq", str(self.sequence), "--seed", str(self.seed), "--dtype", self.dtype]  # fmt: skip


class _History(BaseModel):
    """What else a card keeps of how its checkpoint was made."""

    options: list[_Run] = []


def _commands(slot: str, card: Card) -> Iterator[list[str]]:
    """The verbs with their steps and options: training, if the recipe begins with it, then each run of compress."""
    trained = [step for step in card.recipe if step.partition(":")[0] in available("train")]
    compressed = [step for step in card.recipe if step not in trained]
    history = validate(_History, card.model_extra or {}, f"the card of {slot}")
    runs = [run.words for run in history.options] or ([compressed] if compressed else [])
    outs = [f"out/{slot}-{number}" for number in range(len(runs))] + [f"out/{slot}"]
    if trained:
        yield ["train", *trained, "--data", "DATA", "-o", outs[0]]
    for base, words, out in zip([outs[0] if trained else card.base or "BASE", *outs[1:]], runs, outs[1:], strict=False):
        yield ["compress", base, *words, "-o", out]


def _file_entry(folder: Path, name: str, known: Mapping[str, str], progress: Progress | None) -> dict[str, object]:
    path = folder / name
    return {"path": name, "size": path.stat().st_size, "sha256": known.get(name) or sha256_file(path, progress)}


@contextlib.contextmanager
def _appear(out: Path) -> Iterator[Path]:
    """A folder to fill that becomes `out`, or whose zip does, when the block ends well."""
    require_fresh(out)
    if out.suffix != ".zip":
        with new_folder(out) as folder:
            yield folder
        return
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.partial-", dir=out.parent) as partial:
            folder, packed = Path(partial, "package"), Path(partial, out.name)
            folder.mkdir()
            yield folder
            zip_tree(folder, packed)
            packed.replace(out)
