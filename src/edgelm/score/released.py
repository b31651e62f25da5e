"""What a submission's answers are worth: its marks, read from the package and held against the score it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgelm.errors import BadFile, MissingInput
from edgelm.files import sha256_bytes
from edgelm.report import TaskScore, parse_answers
from edgelm.score.exact import decimals
from edgelm.score.marks import marks_of
from edgelm.submission import Submission, answers_name

Keep = Callable[[bytes], str]  # stores published marks, and gives their digest
Released = tuple[str, str]  # digest of the marks (empty without), and why the score does not count (empty if it does)
NOT_ASKED: Released = ("", "")  # for answers: an organiser's own report needs none


def digest_alone(marks: bytes) -> str:
    """Keep nothing: the digest by which an entry names its marks."""
    return sha256_bytes(marks)


def released(submission: Submission, slot: str, task: str, score: TaskScore, listed: Mapping[str, str],
             keep: Keep) -> Released:  # fmt: skip
    """The kept marks of one task, or why its answers speak against the score; so does their absence.

    Args:
        submission: the package.
        slot: whose model.
        task: whose answers.
        score: as the report has it.
        listed: sha256 of the package's files by normal path, as its manifest lists them.
        keep: where marks go.
    """
    name = answers_name(str(submission.manifest.models[slot]), task)
    if name not in listed:
        return "", "no answers are supplied"
    try:
        data = submission.answers_bytes(slot, task)
        if sha256_bytes(data) != listed[name]:
            return "", "the answers are not those that the manifest lists"
    except (MissingInput, BadFile) as error:
        return "", error.what.replace(f"{submission.origin}/", "")
    return worth(task, score, data, name, keep)


def worth(task: str, score: TaskScore, data: bytes, name: str, keep: Keep) -> Released:
    """The kept marks of a task's answers, as its log has them, or why they speak against the score.

    Errors call the log `name`.
    """
    try:
        answers = parse_answers(data, name)
        if len(answers) != score.samples or len({answer.sample for answer in answers}) != score.samples:
            return "", f"{len(answers):,} answers are supplied, the report has {score.samples:,}"
        marks = marks_of(task, score.protocol, answers, sha256_bytes(data))
    except BadFile as error:
        return "", error.what
    except ValueError as error:
        return "", f"the answers give no score: {error}"
    if marks.score != score.score:
        return "", f"the marks give {decimals(marks.score, 4)}, the report has {decimals(score.score, 4)}"
    return keep(marks.to_bytes()), ""
