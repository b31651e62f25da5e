"""What a submission's answers are worth: its marks, read from the package and held against the score it reports."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from edgelm.archives import read_entry
from edgelm.errors import BadFile, MissingInput
from edgelm.files import read_bytes, sha256_bytes
from edgelm.report import Answer, TaskScore, read_answers
from edgelm.score.exact import decimals
from edgelm.score.marks import marks_of
from edgelm.submission import MAX_ANSWERS, MAX_ENTRIES, Submission

Keep = Callable[[bytes], str]  # stores published marks, and gives their digest
Released = tuple[str, str]  # digest of the marks (empty without), and why the score does not count (empty if it does)
NO_ANSWERS: Released = ("", "")


def digest_alone(marks: bytes) -> str:
    """Keep nothing: the digest by which an entry names its marks."""
    return sha256_bytes(marks)


def released(submission: Submission, slot: str, task: str, score: TaskScore, listed: Mapping[str, str],
             keep: Keep) -> Released:  # fmt: skip
    """The kept marks of one task, or why its answers speak against the score. A package without answers has none.

    Args:
        submission: the package.
        slot: whose model.
        task: whose answers.
        score: as the report has it.
        listed: sha256 of the package's files by normal path, as its manifest lists them.
        keep: where marks go.
    """
    place = submission.manifest.models[slot]
    name = str(PurePosixPath(f"{place}/report/answers/{task}.jsonl"))  # as `listed` writes it
    if name not in listed:
        return NO_ANSWERS
    try:
        data = _read(submission, name)
        if sha256_bytes(data) != listed[name]:
            return "", "the answers are not those that the manifest lists"
        answers = _parsed(data, task)
        if len(answers) != score.samples or len({answer.sample for answer in answers}) != score.samples:
            return "", f"{len(answers):,} answers are supplied, the report has {score.samples:,}"
        marks = marks_of(task, score.protocol, answers, listed[name])
    except (MissingInput, BadFile) as error:
        return "", error.what.replace(f"{submission.origin}/", "")
    except ValueError as error:
        return "", f"the answers give no score: {error}"
    if marks.score != score.score:
        return "", f"the marks give {decimals(marks.score, 4)}, the report has {decimals(score.score, 4)}"
    return keep(marks.to_bytes()), ""


def _read(submission: Submission, name: str) -> bytes:
    """The bytes of a file of the package.

    Raises:
        MissingInput, BadFile: it is not there, too large, or a link out of the package.
    """
    if not submission.origin.is_dir():
        return read_entry(submission.origin, name, most=MAX_ANSWERS, max_entries=MAX_ENTRIES)
    path = submission.origin / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(submission.origin)):
        raise BadFile(f"{path} is a link out of the package", mend="pack from plain files: edgelm pack")
    return read_bytes(path, MAX_ANSWERS)


def _parsed(data: bytes, task: str) -> list[Answer]:
    """The answers in the bytes of their log, which is read from a folder."""
    with tempfile.TemporaryDirectory(prefix="edgelm-answers-") as folder:
        path = Path(folder, "answers", f"{task}.jsonl")
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            return read_answers(Path(folder), task)
        except BadFile as error:
            raise BadFile(error.what.replace(f"{folder}/", ""), why=error.why, mend=error.mend) from None
