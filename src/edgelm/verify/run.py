"""`edgelm verify`: the claims of a submission, and its models asked and timed so that no cheat goes unseen.

Everything is drawn by a secret seed. The submission is only read; what is found, and a manifest of how, go to a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelm.data.folder import DataFolder
from edgelm.engines.base import Engine
from edgelm.errors import InputError, MissingInput, UnknownName
from edgelm.files import write_json
from edgelm.folders import new_folder
from edgelm.report import Workload
from edgelm.rules import Rules
from edgelm.submission import Submission
from edgelm.verify.elsewhere import require_weights
from edgelm.verify.manifest import Manifest
from edgelm.verify.model import Runs, Surroundings, results, run
from edgelm.verify.reference import above_reference
from edgelm.verify.rescore import recompute, require_outside, write
from edgelm.verify.rescored import Rescoring
from edgelm.verify.result import Result, Verdict, gravest
from edgelm.verify.seed import Seed
from edgelm.verify.subject import Subject, subject

VERIFIED = "verify.json"
PROMPTS = 32
HERE = Surroundings()


@dataclass(frozen=True)
class Settings:
    """How a submission is verified.

    Attributes:
        seed: the secret.
        rules: which slots and tasks there are.
        workload: what each timed run reads and makes.
        engine: what asks and is timed; None for the one that the answers were made with.
        references: report folders of the uncompressed bases, by slot.
        prompts: stored answers that are made again for each model, at least.
    """

    seed: Seed
    rules: Rules
    workload: Workload
    engine: Engine | None = None
    references: Mapping[str, Path] = field(default_factory=dict)
    prompts: int = PROMPTS


@dataclass(frozen=True)
class Verified:
    """What was found, by slot, and the claims."""

    results: dict[str, list[Result]]
    rescoring: Rescoring

    @property
    def verdict(self) -> Verdict:
        """The gravest of all."""
        return gravest(result for own in self.results.values() for result in own)

    def as_json(self) -> dict[str, Any]:
        """The findings as a JSON object, without their manifest."""
        found = {slot: [result.as_json() for result in own] for slot, own in self.results.items()}
        return {"format": 1, "verdict": self.verdict, "submission": self.rescoring.submission, "results": found}


def verify(
    submission: Submission, data: DataFolder, out: Path, settings: Settings, around: Surroundings = HERE
) -> Verified:
    """All tests of all models of a submission; `out` becomes a folder of `verify.json` and a report a slot.

    Args:
        submission: what was handed in.
        data: our rows.
        out: a new folder.
        settings: how.
        around: processes, clock, and who is told.

    Raises:
        InputError: the submission or our data cannot be used, or none of the models.
    """
    require_outside(out, submission)
    for slot in settings.references:
        if slot not in submission.slots:
            raise UnknownName("slot", slot, submission.slots)
    require_weights(submission)
    with new_folder(out) as folder:
        manifest = Manifest(settings.seed)
        rescoring = recompute(submission, settings.rules, data)
        write(rescoring, folder)
        if not rescoring.reports:
            why = "; ".join(note for row in rescoring.rows for note in row.notes)
            raise MissingInput("the submission has no model with a report", why=why, mend="see edgelm check")
        slots = dict.fromkeys([*(row.slot for row in rescoring.rows), *rescoring.reports])
        found = {slot: _on_paper(slot, rescoring, settings, folder) for slot in slots}
        ran = list(_ran(submission, data, rescoring, settings, around, found))
        verified = Verified(found, rescoring)
        record = manifest.ended(
            submission=submission.digest, rules=settings.rules.digest, written=folder,
            weights={each.slot: each.checkpoint.digest for each, _ in ran},
            asked=[(asked.task, asked.data) for each, _ in ran for asked in each.asked],
            devices={each.slot: runs.device for each, runs in ran},
            engines={each.slot: each.engine.identity for each, _ in ran},
        )  # fmt: skip
        write_json(folder / VERIFIED, verified.as_json() | {"manifest": record})
    return verified


def _ran(
    submission: Submission, data: DataFolder, rescoring: Rescoring, settings: Settings, around: Surroundings,
    found: Mapping[str, list[Result]],
) -> Iterator[tuple[Subject, Runs]]:  # fmt: skip
    """Each model with its runs, whose results join those found before. One that cannot run keeps nobody from the rest.

    Raises:
        InputError: none could be run; the first reason.
    """
    refused: list[InputError] = []
    for slot in rescoring.reports:
        try:
            chosen = subject(submission, slot, rescoring, data, settings.seed, settings.prompts, settings.engine)
            runs = run(chosen, settings.seed, submission.manifest.track, settings.workload, around)
        except InputError as error:
            refused.append(error)
            found[slot].append(Result("run", "asked and timed", "doubtful", error.what, {"why": error.why}))
            continue
        found[slot].extend([_weights(chosen, rescoring), *results(chosen, runs, settings.workload)])
        yield chosen, runs
    if len(refused) == len(rescoring.reports):
        raise refused[0]


def _on_paper(slot: str, rescoring: Rescoring, settings: Settings, folder: Path) -> list[Result]:
    """What needs no run: the claims, and the scores beside those of a reference."""
    base = settings.references.get(slot)
    return [_claims(slot, rescoring), *([above_reference(base, folder / slot)] if base else [])]


def _claims(slot: str, rescoring: Rescoring) -> Result:
    """RPT-04: whether all scores are what the answers give."""
    rows = [row for row in rescoring.rows if row.slot == slot]
    wrong = [row.task for row in rows if row.status in ("different", "unusable")]
    what = f"{len(rows) - len(wrong)} of {len(rows)} scores follow from the stored answers"
    evidence = {"rows": [row.as_json() for row in rows if row.task in wrong]}
    return Result("RPT-04", "claimed scores", "doubtful" if wrong else "valid", what, evidence)


def _weights(chosen: Subject, rescoring: Rescoring) -> Result:
    """RPT-01: whether the report is of these weights."""
    claimed, found = rescoring.reports[chosen.slot].checkpoint, chosen.checkpoint.digest
    same = claimed == found
    what = "the report is of these weights" if same else f"the report is of {claimed[:12]}…, here are {found[:12]}…"
    return Result("RPT-01", "identity of the weights", "valid" if same else "invalid", what)
