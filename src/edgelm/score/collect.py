"""Entries from submissions on disk: what of each report counts, and a note for all that does not."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import PurePosixPath

from edgelm.checkpoint import digest_of, is_part
from edgelm.data.pinned_rows import pinned_rows
from edgelm.errors import BadFile, InputError, MissingInput, UnknownName, Unsupported
from edgelm.files import sha256_bytes
from edgelm.report import REPORT, Report, Speed, TaskScore
from edgelm.rules.base import Rules
from edgelm.score.beside import beside
from edgelm.score.entries import THROUGHPUT, Entry, SlotModel, scored_tasks
from edgelm.score.protocols import refusal
from edgelm.score.released import NOT_ASKED, Keep, Released, digest_alone, released
from edgelm.score.throughput import model_throughput
from edgelm.submission import Submission

UNTIMED = datetime.fromtimestamp(0, UTC)  # a package on disk has no receipt: all count as received together


Unread = MutableMapping[str, InputError]  # why a submission could not be read, by its path
Holdouts = Mapping[str, Report]  # the organiser's own reports of hold-outs, by the digest of the checkpoint


def collect(
    rules: Rules,
    paths: Iterable[str | os.PathLike[str]],
    holdouts: Iterable[Report] = (),
    keep: Keep = digest_alone,
    unread: Unread | None = None,
) -> dict[str, list[Entry]]:
    """The entries of submissions (folders or zips), by track, before any decision and before they are compared.

    Args:
        rules: what counts.
        paths: the submissions.
        holdouts: the organiser's own reports of the rules' hold-outs, of whichever checkpoints.
        keep: what stores the marks of the answers, to be published.
        unread: takes up what cannot be read, and the others are collected; without it the first is an error.

    Raises:
        MissingInput: there is no such submission, or it has no manifest.
        BadFile: a manifest or an archive is damaged. A damaged report is no error: its scores are missing.
        UnknownName: a submission is for a track that the rules do not have.
    """
    by_track = defaultdict(list)
    joined: dict[str, Report] = {}
    for report in holdouts:
        joined[report.checkpoint] = joined[report.checkpoint] | report if report.checkpoint in joined else report
    for path in paths:
        try:
            with Submission(path) as submission:
                track = rules.track(submission.manifest.track)
                by_track[track.name].append(entry_of(rules, submission, holdouts=joined, keep=keep))
        except (MissingInput, BadFile, UnknownName, Unsupported) as error:  # not a disk that is full
            if unread is None:
                raise
            unread[str(path)] = error
    return dict(by_track)


def entry_of(
    rules: Rules,
    submission: Submission,
    received: datetime = UNTIMED,
    holdouts: Holdouts | None = None,
    keep: Keep = digest_alone,
) -> Entry:
    """One submission as an entry; `received` is when its finalise call arrived."""
    listed = {str(PurePosixPath(file.path)): file.sha256 for file in submission.manifest.files}
    return Entry(
        submission=submission.digest,
        team=submission.manifest.team,
        title=submission.manifest.title,
        received=received,
        models={slot: _model_in(rules, submission, slot, holdouts or {}, listed, keep) for slot in submission.slots},
        reasons=tuple(_disqualified(rules, submission, listed)),
    )


def reference_entry(rules: Rules, reports: Mapping[str, Report], name: str) -> Entry:
    """What the uncompressed bases reach, by slot: shown beside the standings, never ranked."""
    models = {slot: slot_model(rules, report, report) for slot, report in reports.items()}
    return Entry(submission=name, team=name, received=UNTIMED, models=models)


def slot_model(
    rules: Rules, report: Report, holdout: Report | None = None, marks: Mapping[str, Released] | None = None
) -> SlotModel:
    """What of a report counts: complete task scores, throughput on the rules' workload, memory by the rules' meter.

    `holdout` is the organiser's report of the same checkpoint, whose scores of hold-outs count before the team's own;
    `marks` has what the report's answers are worth, by task.
    """
    scores: dict[str, Fraction | None] = {}
    protocols: dict[str, str] = {}
    kept: dict[str, str] = {}
    notes = []
    for task in scored_tasks(rules):
        organiser = holdout is not None and task in rules.holdouts and task in holdout.tasks
        result = (holdout if holdout and organiser else report).tasks.get(task)
        digest, against = (marks or {}).get(task, NOT_ASKED) if not organiser else NOT_ASKED
        if missing := _missing(rules, task, result, organiser) or against:
            notes.append(f"{task}: {missing}")
        elif result:
            scores[task], protocols[task] = result.score, result.protocol
            kept |= {task: digest} if digest else {}
    no_speed = _no_throughput(rules, report.speed)
    if no_speed:
        notes.append(f"{THROUGHPUT}: {no_speed}")
    nanoseconds = tuple(report.speed.repeats_ns) if report.speed and not no_speed else ()
    meter = next((meter for meter in rules.meters if meter in report.memory), "")
    peak = report.memory[meter] if meter else None
    if peak is None:
        notes.append(f"memory: not measured by {rules.memory_meter}, so that no score is valid")
    return SlotModel(
        name=report.name,
        scores=scores,
        protocols=protocols,
        marks=kept,
        throughput=model_throughput(rules, nanoseconds),
        repeats_ns=nanoseconds,
        peak_memory=peak,
        meter=meter,
        parameters=report.parameters,
        bytes=report.bytes,
        beside=beside(report),
        notes=tuple(notes),
    )


def _missing(rules: Rules, task: str, result: TaskScore | None, organiser: bool) -> str:
    """Why a task has no score that counts; empty when it has."""
    if result is None:
        return "not evaluated"
    if not result.complete:
        return f"{result.samples} of {result.of} rows answered"
    if refused := refusal(rules, task, result.protocol, organiser=organiser):
        return refused
    rows = pinned_rows(task, result.protocol)
    return "" if rows in (None, result.of) else f"{result.of:,} rows were asked, the pinned data have {rows:,}"


def _model_in(
    rules: Rules, submission: Submission, slot: str, holdouts: Holdouts, listed: Mapping[str, str], keep: Keep
) -> SlotModel:
    try:
        report = submission.report(slot)
        marks = {
            task: released(submission, slot, task, report.tasks[task], listed, keep)
            for task in scored_tasks(rules)
            if task in report.tasks
        }
        return slot_model(rules, report, holdouts.get(report.checkpoint), marks)
    except (MissingInput, BadFile) as error:
        return SlotModel(name=slot, scores={}, notes=(error.what.replace(f"{submission.origin}/", ""),))


def _disqualified(rules: Rules, submission: Submission, listed: Mapping[str, str]) -> Iterator[str]:
    """Why a submission is out before anything is ranked: made for other rules, or with a report that is not its own."""
    manifest = submission.manifest
    if manifest.rules != rules.digest:
        yield f"rules: made for other rules ({manifest.rules[:12]}…, ranked are those of {rules.digest[:12]}…)"
    for slot, place in manifest.models.items():
        if isinstance(place, str):
            yield from _doubts(submission, slot, PurePosixPath(place), listed)


def _doubts(submission: Submission, slot: str, place: PurePosixPath, listed: Mapping[str, str]) -> Iterator[str]:
    """Why a report is not one of the model beside it; nothing where no report can be read, for then nothing counts."""
    folder = f"{place}/checkpoint/"
    files = {path.removeprefix(folder): sha256 for path, sha256 in listed.items() if path.startswith(folder)}
    own = digest_of({name: sha256 for name, sha256 in files.items() if is_part(name)})
    try:
        if sha256_bytes(submission.report_bytes(slot)) != listed.get(str(place / "report" / REPORT)):
            yield f"{slot}: {REPORT} is not the one that the manifest lists"
        elif (made_from := submission.report(slot).checkpoint) != own:
            yield f"{slot}: the report is of checkpoint {made_from[:12]}…, the manifest lists {own[:12]}…"
    except (MissingInput, BadFile):
        return


def _no_throughput(rules: Rules, speed: Speed | None) -> str:
    """Why a speed does not count; empty when it does."""
    if speed is None:
        return "not measured"
    ran, asked = speed.workload, (rules.prompt_tokens, rules.generated_tokens, rules.batch)
    if (ran.prompt_tokens, ran.generated_tokens, ran.batch) != asked:
        return (
            f"measured with {ran.prompt_tokens} + {ran.generated_tokens} tokens, batch {ran.batch}; "
            f"the rules ask for {asked[0]} + {asked[1]}, batch {asked[2]}"
        )
    if len(speed.repeats_ns) < rules.repeats:
        return f"{len(speed.repeats_ns)} repeats; the rules ask for {rules.repeats}"
    return ""
