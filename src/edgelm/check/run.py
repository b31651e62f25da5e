"""`edgelm check`: everything that is to be said about a package, without running any of it.

A check never stops the others. What is unreadable is a finding of the check that met it, said once; no file of a
stranger may end the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgelm.check import (
    bundle,
    claims,
    data,
    elsewhere,
    imports,
    kinship,
    memory,
    model,
    package,
    pickles,
    precision,
    programs,
    remote,
    report,
    source,
    tokenizer,
    twins,
    values,
    vocabulary,
    weights,
)
from edgelm.check.base import ORDER, Check, Finding, finding, limited, worst
from edgelm.check.fetch import HOSTS, Fetch
from edgelm.check.fingerprint import known_model
from edgelm.check.look import MAX_PACKAGE, Model, Package
from edgelm.errors import EXIT_FINDINGS, EXIT_GOOD, EdgelmError, MissingInput, Unsupported
from edgelm.rules import Rules
from edgelm.submission import Submission

PACKAGE_CHECKS: tuple[Check, ...] = (
    *package.CHECKS, *model.CHECKS, *weights.CHECKS, *claims.CHECKS, *source.CHECKS,
    *imports.CHECKS, *programs.CHECKS, *pickles.CHECKS, *elsewhere.CHECKS,
)  # fmt: skip
MODEL_CHECKS: tuple[Check, ...] = (  # each part's own check comes before those that merely need the part
    *model.MODEL_CHECKS, *weights.MODEL_CHECKS, *values.MODEL_CHECKS, *precision.MODEL_CHECKS, *remote.MODEL_CHECKS,
    *vocabulary.MODEL_CHECKS, *tokenizer.MODEL_CHECKS, *pickles.MODEL_CHECKS, *kinship.MODEL_CHECKS,
    *programs.MODEL_CHECKS, *memory.MODEL_CHECKS, *report.MODEL_CHECKS, *twins.MODEL_CHECKS,
    *bundle.MODEL_CHECKS, *data.MODEL_CHECKS, *claims.MODEL_CHECKS,
)  # fmt: skip


def check(
    path: Path, rules: Rules, *, track: str | None = None, values: bool = False, fetch: Fetch | None = None,
    bases: Mapping[str, Path] | None = None, beside: Sequence[Path] = (), max_bytes: int = MAX_PACKAGE,
    digests: Mapping[str, str] | None = None, hosts: Sequence[str] = HOSTS,
) -> list[Finding]:  # fmt: skip
    """All findings on a submission, gravest first.

    Args:
        path: of the folder or archive.
        rules: that it is held against.
        track: that it is meant for, if not the one it names.
        values: also read the weights themselves.
        fetch: also fetch what lies elsewhere, so; the network is used by nothing else.
        bases: folders or fingerprints of known models, by name, of which weights may descend.
        beside: other submissions, for weights or answers that are theirs.
        max_bytes: that the package may have.
        digests: sha256 of each of its files, where it is known already; the files are not read for it then.
        hosts: where files may lie that it only links.

    Raises:
        MissingInput: there is nothing at `path`, or at one of the others.
        BadFile: a known model or another submission cannot be read.
        UnknownName: the rules have no such `track`.
    """
    if track is not None:
        rules.track(track)
    if not path.exists():
        raise MissingInput(f"there is no submission {path}", mend="give the folder or archive that pack wrote")
    known = {name: known_model(place) for name, place in (bases or {}).items()}
    if refused := list(package.unsafe_folder(path) if path.is_dir() else package.unsafe_archive(path)):
        return limited(refused)
    with ExitStack() as stack:
        others = [stack.enter_context(Submission(other)) for other in beside]
        for other in others:
            _ = other.manifest  # what cannot be read is said before anything is looked at
        submission = stack.enter_context(Submission(path))
        try:
            opened = Package(submission, rules, track, values, fetch=fetch, bases=known, beside=others,
                             max_bytes=max_bytes, digests=digests, hosts=hosts)  # fmt: skip
        except (EdgelmError, OSError) as error:
            return [finding("PKG-01", path.name, str(error).replace(f"{path.parent}/", ""))]
        if stray := package.no_package(opened):
            return [stray]
        return limited(_look(opened))


def _look(opened: Package) -> list[Finding]:
    found: list[Finding] = []
    for check in PACKAGE_CHECKS:
        _add(found, check, opened, opened, "")
    for brought in opened.models:
        for check in MODEL_CHECKS:
            _add(found, check, brought, opened, brought.place)
    return found


def _add(found: list[Finding], check: Check, subject: Package | Model, opened: Package, where: str) -> None:
    """Add a check's findings. An error, of whatever kind a hostile file provokes, is one more, unless it was said."""
    try:
        for one in check.look(subject):  # what came before an error is kept
            found.append(one)
    except Unsupported:
        return  # a class of model that is not known here, which `weights.configuration` has said
    except Exception as error:
        what = opened.cause(error)
        met = finding(check.code, opened.named_in(what) or where, what)
        if all(met.what != other.what for other in found):
            found.append(met)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """The findings for machines: how many of each severity, the gravest, and all of them."""
    counts = {severity: sum(found.severity == severity for found in findings) for severity in ORDER}
    return {"worst": worst(findings), "counts": counts, "findings": [found.as_json() for found in findings]}


def exit_code(findings: list[Finding]) -> int:
    """`EXIT_FINDINGS` if the submission is refused, else `EXIT_GOOD`."""
    return EXIT_FINDINGS if worst(findings) == "E" else EXIT_GOOD
