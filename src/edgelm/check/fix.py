"""Mends that need no judgement, made in a submission's folder: names, dtypes and counts, the form of the results file.

Weights are never touched, and what the manifest listed wrongly before stays listed wrongly: only files that are
mended here are listed anew. Report and bundle keep naming the checkpoint that they were made from, whose label changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from edgelm.bundle import BUNDLE_LIST
from edgelm.check import package as packages
from edgelm.check.base import some
from edgelm.check.claims import held, results_name
from edgelm.check.look import Model, Package
from edgelm.check.package import SPELLINGS
from edgelm.checkpoint import CARD, Checkpoint, read_config, write_config
from edgelm.errors import BadFile, BadOption, EdgelmError, InputError
from edgelm.files import sha256_file, write_bytes, write_json
from edgelm.headers import TORCH_NAMES
from edgelm.report import REPORT
from edgelm.results.canonical import proposal, undecided
from edgelm.results.read import read_file
from edgelm.rules import Rules
from edgelm.submission import BUNDLE, MANIFEST, Submission

Json = dict[str, Any]
FORM = {"CLM-02", "CLM-13"}  # findings that the canonical form of a results file ends


def fix(path: Path, rules: Rules) -> list[str]:
    """What was mended in a submission's folder, one line each.

    Raises:
        MissingInput: there is nothing at `path`.
        BadOption: it is an archive.
        BadFile: it holds links or devices, or its manifest cannot be read.
    """
    submission = Submission(path)
    if not path.is_dir():
        raise BadOption(f"{path} is no folder", why="an archive is not changed",
                        mend="unpack it, mend the folder, and pack that")  # fmt: skip
    if unsafe := next(packages.unsafe_folder(path), None):
        raise BadFile(f"{unsafe.path}: {unsafe.what}", mend=unsafe.mend)
    done = list(_renamed(path))
    if not (path / MANIFEST).is_file():
        return done  # nothing is known of what lies where, as the check says
    _ = submission.manifest
    package = Package(submission, rules, None)
    for mend in (_results, _models):
        done += mend(package)
    return done


def _renamed(folder: Path) -> Iterator[str]:
    """PKG-08: known files get the spelling that is expected."""
    names = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]
    for name in sorted(names, key=lambda name: name.casefold() != MANIFEST):  # the manifest first: it lists the others
        last = PurePosixPath(name).name
        known = SPELLINGS.get(last.casefold(), last)
        right = PurePosixPath(name).with_name(known).as_posix()
        if known != last and right.casefold() not in {other.casefold() for other in names if other != name}:
            (folder / name).rename(folder / right)
            _relist(folder, name, right, "")
            yield f"{name} is now {right}"


def _results(package: Package) -> Iterator[str]:
    """CLM-02, CLM-13: the canonical form of what the reader reads."""
    name = results_name(package)
    with suppress(InputError):
        expected = held(package)
        claims = read_file(package.path / name, expected)
        if not claims.values or FORM.isdisjoint(note.code for note in claims.notes):
            return
        if left := undecided(claims, expected):
            yield f"{name} stays as it is, for only you know in which unit or for which model: {some(left)}"
            return
        before = sha256_file(package.path / name)
        write_bytes(package.path / name, proposal(claims).encode())
        _relist(package.path, name, name, before)
        yield f"{name} is in the canonical form"


def _models(package: Package) -> Iterator[str]:
    for model in package.models:
        with suppress(EdgelmError, OSError):  # damaged parts are for the check to say
            yield from _count(model)
            yield from _dtype(model)


def _count(model: Model) -> Iterator[str]:
    """CKP-06: the counted number of parameters, and the stored dtypes, in the card."""
    stored = {"parameters": model.checkpoint.parameters, "dtype": "+".join(model.checkpoint.dtypes)}
    wrong = {key: value for key, value in stored.items() if model.raw_card.get(key, value) != value}
    if wrong:
        _edit(model, CARD, lambda card: card | wrong)
        yield from (f"{model.at(CARD)}: {key} is now {value}" for key, value in wrong.items())


def _dtype(model: Model) -> Iterator[str]:
    """DTY-04: the dtype that most parameters have, in the configuration."""
    config = model.checkpoint.config
    right = TORCH_NAMES.get(next(iter(model.checkpoint.dtypes), ""))
    wrong = [key for key in ("dtype", "torch_dtype") if config.get(key) not in (None, right)]
    if right is None or not wrong:
        return
    before, name = Checkpoint(model.find("checkpoint")).digest, "checkpoint/config.json"
    _edit(model, name, lambda config: config | dict.fromkeys(wrong, right), write_config)
    yield from (f"{model.at(name)}: {key} is now {right}" for key in wrong)
    after = Checkpoint(model.find("checkpoint")).digest
    for made in (f"report/{REPORT}", f"{BUNDLE}/{BUNDLE_LIST}"):
        if model.find(made).is_file() and read_config(model.find(made)).get("checkpoint") == before:
            _edit(model, made, lambda content: content | {"checkpoint": after})
            yield f"{model.at(made)}: made from the checkpoint whose configuration was mended"


def _edit(
    model: Model, name: str, change: Callable[[Json], Json], write: Callable[[Path, Json], None] = write_json
) -> None:
    path = model.find(name)
    before = sha256_file(path)
    write(path, change(read_config(path)))
    _relist(model.package.path, model.at(name), model.at(name), before)


def _relist(folder: Path, old: str, new: str, before: str) -> None:
    """List a file by its new name, and by its new bytes if it was listed by those it had `before`."""
    path = folder / MANIFEST
    try:
        manifest = read_config(path)
    except InputError:
        return  # the manifest itself was misspelled until now, or is for the check to speak of
    for entry in manifest.get("files", ()):
        if isinstance(entry, dict) and entry.get("path") == old:
            entry["path"] = new
            if entry.get("sha256") == before:
                entry |= {"size": (folder / new).stat().st_size, "sha256": sha256_file(folder / new)}
    if manifest.get("claims") == old:
        manifest["claims"] = new
    write_json(path, manifest)
