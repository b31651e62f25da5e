"""From tasks to bare requests, outside the box: what a model is asked, and, for the worker alone, of which task."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from edgelm.checkpoint import Card
from edgelm.files import MAX_RECORD, JsonLog, canonical_json, read_json
from edgelm.plugins import parse
from edgelm.rules.base import Rules
from edgelm.server.worker.steps import Steps

RENDER, MARK = ("edgelm.evaluate.apart", "render"), ("edgelm.evaluate.apart", "mark")
REQUESTS, KEYS = "requests.jsonl", "keys.json"  # as `evaluate.apart` calls them


@dataclass(frozen=True)
class Asked:
    """What a model is asked at one go: the public tasks, or the hold-outs.

    Attributes:
        slot: of the model.
        checkpoint: its folder.
        engine: spec of the engine that asks it.
        card: of the model.
        tasks: public ones by name.
        hidden: hold-outs are asked instead: of what is asked, answered and said nothing is shown.
    """

    slot: str
    checkpoint: Path
    engine: str
    card: Card
    tasks: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def name(self) -> str:
        """What the journal and the folders of it are called."""
        return f"{self.slot}.holdout" if self.hidden else self.slot

    def part(self, task: str) -> str:
        """The part of the progress that a task is; hold-outs are one, whatever they hold."""
        return f"{self.slot}/holdout" if self.hidden else f"{self.slot}/{task}"


class Fixed(NamedTuple):
    """The request for the weight of a fixed text, and how many words of it are weighed."""

    key: str
    words: int


@dataclass(frozen=True)
class Rendered:
    """Bare requests, line by line in the order in which they are asked.

    Attributes:
        requests: by key, the line that asks.
        parts: by the part of the progress, the keys of its requests.
        prompting: how they are asked.
        texts: to time the model with, one for all repeats and one for each run beside them; none of hold-outs.
        fixed: the fixed text that is asked with them, if any.
    """

    requests: Mapping[str, bytes]
    parts: Mapping[str, Collection[str]]
    prompting: str
    texts: Sequence[str] = ()
    fixed: Fixed | None = None

    def lines(self, known: Collection[str]) -> bytes:
        """The requests that have no answer yet."""
        return b"".join(line for key, line in self.requests.items() if key not in known)

    def first(self, most: int) -> Rendered:
        """The first so many requests alone."""
        return replace(self, requests=dict(islice(self.requests.items(), most)))

    def again(self, most: int) -> list[str]:
        """The keys of what is asked once more: of the first so many requests of tasks."""
        own = (key for key in self.requests if self.fixed is None or key != self.fixed.key)
        return list(islice(own, most))

    def with_fixed(self, keys: Collection[str]) -> bytes:
        """Requests by their keys, and the fixed text."""
        return b"".join(line for key, line in self.requests.items()
                        if key in keys or (self.fixed and key == self.fixed.key))  # fmt: skip


def orders(steps: Steps, asked: Asked, out: Path) -> str:
    """What `evaluate.apart` is told."""
    bench, secrets = steps.bench, steps.bench.secrets
    told: dict[str, Any] = {
        "checkpoint": str(asked.checkpoint), "engine": asked.engine, "out": str(out), "prompting": asked.card.prompting,
        "data": str(bench.data) if bench.data else None, "seed": str(secrets.seed) if secrets.seed else None,
        "submission": steps.job.submission,
    }  # fmt: skip
    if asked.hidden:
        told |= {"holdouts": [str(file) for file in secrets.holdouts], "key": str(secrets.key)}
    else:
        rules: Rules = parse("rules", steps.job.rules)
        told |= {"tasks": asked.tasks, "track": steps.job.track, "texts": rules.repeats + 1}
    return canonical_json(told).decode()


def rendered(steps: Steps, asked: Asked, out: Path) -> Rendered:
    """The bare requests of all tasks.

    Args:
        steps: that run.
        asked: what is.
        out: a folder that no box sees.

    Raises:
        Fault: the platform's: its data is not what it should be.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = steps.outside(f"{asked.slot}/render", (*RENDER, orders(steps, asked, out)), hidden=asked.hidden)
    if not done.good:
        raise steps.ours(done)
    told = read_json(out / KEYS, most=MAX_RECORD)
    parts: dict[str, set[str]] = {}
    for task, keys in told["tasks"].items():
        parts.setdefault(asked.part(task), set()).update(keys)
    lines = _lines((out / REQUESTS).read_bytes().splitlines(keepends=True))
    fixed = Fixed(**told["fixed"]) if "fixed" in told else None
    return Rendered(lines, parts, told["prompting"], told["texts"], fixed)


def _lines(lines: Sequence[bytes]) -> dict[str, bytes]:
    return {row["key"]: line for line in lines for row, _ in JsonLog.rows(io.BytesIO(line), REQUESTS)}
