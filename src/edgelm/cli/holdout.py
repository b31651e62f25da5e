"""Check a hold-out folder, publish its salted digest beforehand, confirm it afterwards."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.cli.console import Data, Json, OfflineFlag, emit_json, emit_table, note, progress
from edgelm.data.folder import DataFolder
from edgelm.errors import EXIT_FINDINGS, BadOption, InputError
from edgelm.files import write_bytes
from edgelm.plugins import parse, spec_of
from edgelm.rules.base import HOLDOUT, Rules
from edgelm.tasks.base import Sample, protocol
from edgelm.tasks.holdout.folder import SALT, HoldOut, digest_of, read_salt
from edgelm.tasks.holdout.load import holdout_tasks, task_files
from edgelm.tasks.holdout.look import look
from edgelm.tasks.holdout.overlap import Questions

holdout = typer.Typer(no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Hold-out folder.")]
Asked = dict[str, tuple[str, list[Sample]]]  # by label: protocol, rows


@holdout.command()
def check(
    folder: Folder,
    data: Data = None,
    offline: OfflineFlag = False,
    public: Annotated[bool, typer.Option(help="Look for the questions in the benchmarks of the rules.")] = True,
    rules: Annotated[str, typer.Option(help="Rule set whose benchmarks are meant.")] = "neurips-2024",
    references: Annotated[
        bool, typer.Option("--references", help="Also show what is expected, which is secret.")
    ] = False,
    json: Json = False,
) -> None:
    """Read every pack and task file, and say what an organiser should know before the digest is published."""
    tasks = holdout_tasks(folder)
    asked: Asked = {task.label: (protocol(task, own), task.samples(own)) for task, own in tasks}
    seen: set[Any] = set()
    found = {label: asdict(look(samples, seen)) for label, (_, samples) in asked.items()}
    if public:
        met = _met_in_public(asked, DataFolder(data, offline=offline), parse("rules", rules).tasks)
        for label, places in met.items():
            found[label]["public"] = places
    for label, (name, samples) in asked.items():
        found[label]["protocol"] = name
        if references and samples:
            found[label]["reference"] = samples[0].reference
    if json:
        emit_json(found)
    else:
        _show(found)
    if not (folder / SALT).exists():
        note(f"there is no salt yet; with it the protocols change their digests: edgelm holdout digest {folder}")


def _met_in_public(asked: Asked, data: DataFolder, benchmarks: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """For each task, how many of its questions share a run of words with each benchmark that is at hand."""
    questions = {label: Questions([sample.prompt.turns[-1].text for sample in samples])
                 for label, (_, samples) in asked.items()}  # fmt: skip
    met: dict[str, dict[str, int]] = {label: {} for label in asked}
    wanted = [name for name in benchmarks if name != HOLDOUT]
    with progress() as bar:
        for done, name in enumerate(wanted):
            bar("public benchmarks", done, len(wanted))
            try:
                texts = [
                    turn.text for sample in parse("tasks", name).samples(data) for turn in sample.prompt.turns[-1:]
                ]
            except InputError as error:
                note(f"{name} was not looked at: {error.what}")
                continue
            for label, own in questions.items():
                met[label][name] = len(own.met_in(texts))
    return met


def _show(found: dict[str, dict[str, Any]]) -> None:
    rows = [
        (label, each["rows"], len(each["subsets"]) or "", each["repeated"], each["revealing"],
         _counted(each["references"]),
         _counted(each.get("public", {})) or "none",
         each["protocol"])
        for label, each in found.items()
    ]  # fmt: skip
    emit_table(("task", ">rows", ">subsets", ">repeated", ">revealing", "right choices", "in public", "protocol"), rows)
    for label, each in found.items():
        note(f"\n{label}, first question:\n{each['example']}")
        if "reference" in each:
            note(f"expected: {each['reference']}")


def _counted(numbers: dict[str, int]) -> str:
    """`A: 2, B: 1`; what there is none of is left out."""
    return ", ".join(f"{name}: {number}" for name, number in numbers.items() if number)


@holdout.command()
def digest(
    folder: Folder, rules: Annotated[str, typer.Option(help="Rule set that is to name it.")] = "neurips-2024"
) -> None:
    """Print the digest to publish: sha256 of a secret salt, made once, and of the listing of all files.

    Beside it, on stderr, the lines by which rules name this very hold-out.
    """
    pinning = parse("rules", rules)
    data = HoldOut(folder)
    if not data.salt:
        data.make_salt()
        note(f"a new salt is in {folder / SALT}: keep it secret with the folder, and publish both when the time comes")
    print(data.digest(), flush=True)
    try:
        note(_pinned(list(task_files(data)), data.digest(), pinning))
    except InputError as error:
        note(f"nothing can be asked yet: {error.what}")


def _pinned(labels: list[str], digest: str, rules: Rules) -> str:
    """The lines of a rule file, and the spec, that let this hold-out alone count."""
    pins = [f"{HOLDOUT}/{label}-{digest[:8]}" for label in labels]
    changed = replace(rules, holdouts=tuple(labels), versions=(*rules.versions, *pins))
    return (f"in a rule file:\n    holdouts = ({_listed(labels)},)\n    versions = (*VERSIONS, {_listed(pins)})\n"
            f"or without one:\n    --rules {spec_of(changed)}")  # fmt: skip


def _listed(texts: list[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


@holdout.command()
def seal(
    folder: Folder,
    key_file: Annotated[Path, typer.Option(help="File with the key; made if there is none.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The encrypted file.")],
) -> None:
    """Encrypt the folder into one file, which workers open by the key: `edgelm worker --holdout FILE`."""
    from edgelm.tasks.holdout.sealed import make_key, read_key, sealed

    HoldOut(folder)
    make_key(key_file)
    write_bytes(out, sealed(folder, read_key(key_file)), 0o600)
    note(f"{out} holds {folder}; without {key_file} nobody can read it: keep a copy of the key, apart from the file")


@holdout.command()
def verify(
    folder: Folder,
    digest: Annotated[str, typer.Option(help="The digest that was published.")],
    salt: Annotated[Path | None, typer.Option(help="The salt's file, if it is not in the folder.")] = None,
) -> None:
    """Say whether a folder and its salt are those whose digest was published. Exit code 1 if not."""
    if len(digest) != 64:
        raise BadOption(f"--digest {digest} is no sha256", mend="give all 64 digits that were published")
    data = HoldOut(folder)
    found = digest_of(read_salt(salt) if salt else data.salt, data.files)
    if found == digest.lower():
        note(f"{folder} is what was published: {len(data.files)} files")
        return
    note(f"{folder} is not what was published: its digest is {found}{'' if salt or data.salt else ' (without a salt)'}")
    raise typer.Exit(EXIT_FINDINGS)
