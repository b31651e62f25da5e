"""Submissions beside each other: the same weights, or the same answers, as another's."""

from __future__ import annotations

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model, supplied
from edgelm.checkpoint import Checkpoint
from edgelm.files import sha256_bytes
from edgelm.submission import Submission

SAMPLE = 4096  # bytes, of the middle of each tensor
SAME = 99  # percent of equal answers
Answers = dict[tuple[str, str], str]  # digest of the text by task and sample


def weights_digest(checkpoint: Checkpoint) -> str:
    """One digest of all weights, by samples: shards and metadata change nothing, a step of training does."""
    lines = []
    for name, tensor in sorted(checkpoint.tensors.items()):
        with tensor.file.open("rb") as file:
            file.seek(tensor.start + max(0, tensor.bytes - SAMPLE) // 2)
            sample = sha256_bytes(file.read(min(SAMPLE, tensor.bytes)))
        lines.append(f"{name} {tensor.dtype} {tensor.shape} {sample}")
    return sha256_bytes("\n".join(lines).encode())


def same_weights(model: Model) -> Findings:
    """DUP-01: weights that another submission brings as well."""
    own = weights_digest(model.checkpoint) if model.package.beside else ""
    for other in model.package.beside:
        for slot in other.slots:
            if _quietly(other, slot) == own:
                what = f"the same weights as '{slot}' of {_named(other)}"
                yield finding("DUP-01", model.at("checkpoint"), what, evidence={"weights": own})


def same_answers(model: Model) -> Findings:
    """DUP-02: answers that are nearly all another's, over all tasks that both were asked."""
    if not model.has_report or not model.package.beside:
        return
    own = {(task, answer.sample): answer.text for task in model.report.tasks for answer in model.answers(task)}
    for other in model.package.beside:
        for slot in other.slots:
            theirs = _answers(other, slot)
            both = own.keys() & theirs.keys()
            equal = sum(own[key] == theirs[key] for key in both)
            if both and equal * 100 >= SAME * len(both):
                what = f"{equal:,} of {len(both):,} answers equal those of '{slot}' of {_named(other)}"
                yield finding("DUP-02", model.at("report"), what)


def _named(other: Submission) -> str:
    return f"team '{other.manifest.team[:40]}' ({other.origin.name})"


def _quietly(other: Submission, slot: str) -> str:
    """The digest of another's weights; empty if they cannot be read, which is for its own check to say."""
    try:
        return weights_digest(other.checkpoint(slot))
    except Exception:  # whatever is wrong with another's package is no finding on this one
        return ""


def _answers(other: Submission, slot: str) -> Answers:
    try:
        folder = other.report_folder(slot)
        return {(task, answer.sample): answer.text for task in other.report(slot).tasks
                for answer in supplied(folder, task)}  # fmt: skip
    except Exception:  # see above
        return {}


MODEL_CHECKS = (Check("CKP-02", same_weights), Check("RPT-04", same_answers))
