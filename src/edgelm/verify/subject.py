"""What is verified in one slot: the model as it was handed in, how its answers were made, and which are asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.engines.base import Engine
from edgelm.errors import MissingInput
from edgelm.evaluate.benchmarks import by_label
from edgelm.evaluate.leases import Unit
from edgelm.evaluate.questions import Questions, Selection, questions
from edgelm.files import canonical_json
from edgelm.report import Answer, TaskScore
from edgelm.submission import Submission
from edgelm.verify.draw import drawn
from edgelm.verify.engine import engine_like
from edgelm.verify.rescored import Rescoring
from edgelm.verify.seed import Seed
from edgelm.verify.stored import sort_out

TOGETHER = 8  # consecutive rows asked together where the engine does not say how many


@dataclass(frozen=True)
class Subject:
    """A slot's model, the engine that asks it, and the drawn questions with the answers that are stored for them."""

    slot: str
    checkpoint: Checkpoint
    prompting: Prompting
    engine: Engine
    claimed_engine: Mapping[str, Any]
    asked: tuple[Questions, ...]  # those that have a stored answer
    units: tuple[Unit, ...]
    stored: Mapping[str, Answer]  # by key, of all tasks

    @property
    def names(self) -> dict[str, str]:
        """The samples of the drawn questions, by key."""
        samples = {request.key: sample.id for each in self.asked for sample, request in reversed(each.rows)}
        return {request.key: samples[request.key] for unit in self.units for request in unit.requests}

    @property
    def same_engine(self) -> bool:
        """Whether the stored answers were made with the settings and versions that are here."""
        return canonical_json(self.engine.identity) == canonical_json(dict(self.claimed_engine))


def subject(submission: Submission, slot: str, found: Rescoring, data: DataFolder, seed: Seed, prompts: int,
            engine: Engine | None = None) -> Subject:  # fmt: skip
    """The model of a slot with its drawn questions; an archive is unpacked for it.

    Of tasks that were asked in several ways, those of the commonest way are drawn from.

    Args:
        submission: what was handed in.
        slot: the place.
        found: which of its tasks have answers that can be marked.
        data: our rows.
        seed: what draws.
        prompts: how many, at least.
        engine: what asks; the one that the answers were made with if not given.

    Raises:
        MissingInput: none of its answers can be asked again.
        Unsupported: the engine of the answers cannot be had.
    """
    report = found.reports[slot]
    if not report.tasks:
        raise MissingInput(f"none of the answers of slot '{slot}' can be asked again", mend="see edgelm rescore")
    way = Counter(map(_way, report.tasks.values())).most_common(1)[0][0]
    scores = {task: score for task, score in report.tasks.items() if _way(score) == way}
    like = next(iter(scores.values()))
    settings = {"checkpoint": report.checkpoint, "engine": like.engine, "prompting": like.prompting}
    tasks = by_label()
    whole = [questions(tasks[task], data, Selection(), settings) for task in scores]
    kept = [sort_out(submission.answers(slot, each.task.label), each) for each in whole]
    asked = tuple(own.of(each)[0] for own, each in zip(kept, whole, strict=True))
    stored = {answer.key: answer for own in kept for answer in own.usable.values()}
    engine = engine or engine_like(like.engine)
    units = drawn(seed, submission.digest, asked, getattr(engine, "together", TOGETHER), prompts)
    return Subject(slot, submission.checkpoint(slot), like.prompting, engine, like.engine, asked, tuple(units), stored)


def _way(score: TaskScore) -> bytes:
    return canonical_json([score.engine, score.prompting])
