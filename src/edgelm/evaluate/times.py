"""Where the time of a run went: a line for each run in `runs.jsonl`, beside the report and never part of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgelm.engines.base import Reply
from edgelm.files import JsonLog

RUNS = "runs.jsonl"


@dataclass
class _Spent:
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    answers: int = 0
    tokens: int = 0
    prompt_tokens: int = 0


class Times:
    """What each task of a run took. Wall time goes to the task whose answers came next, so that all tasks add up."""

    def __init__(self) -> None:
        self._started, self._last = datetime.now(UTC), time.monotonic()
        self._loading: float | None = None
        self._tasks: dict[str, _Spent] = {}

    def _since(self) -> float:
        before, self._last = self._last, time.monotonic()
        return self._last - before

    def loaded(self) -> None:
        """The first worker has loaded the checkpoint."""
        if self._loading is None:
            self._loading = self._since()

    def add(self, label: str, replies: Sequence[Reply], cpu_seconds: float) -> None:
        """A group of answers of a task has come."""
        spent = self._tasks.setdefault(label, _Spent())
        spent.seconds += self._since()
        spent.cpu_seconds += cpu_seconds
        spent.answers += len(replies)
        spent.tokens += sum(reply.tokens for reply in replies)
        spent.prompt_tokens += sum(reply.prompt_tokens for reply in replies)

    def summary(self) -> str:
        """The run in a line for a person; nothing if there were no answers."""
        spent = self._tasks.values()
        answers, tokens = sum(each.answers for each in spent), sum(each.tokens for each in spent)
        seconds = sum(each.seconds for each in spent)
        if not answers:
            return ""
        rate = f", {answers / seconds:.2f} answers a second" if seconds else ""
        return (f"{answers:,} answers of {tokens:,} tokens in {seconds:.1f} s{rate}; "
                f"loading took {self._loading or 0.0:.1f} s")  # fmt: skip

    def write(self, out: Path, engine: Mapping[str, Any], by: str, machine: Mapping[str, Any]) -> None:
        """Append the run's line: each figure by task, and who gave the answers, and where."""
        figures = {each.name: {label: round(getattr(spent, each.name), 3) for label, spent in self._tasks.items()}
                   for each in fields(_Spent)}  # fmt: skip
        line = {
            "started": self._started.isoformat(timespec="seconds"), "loading_seconds": round(self._loading or 0.0, 3),
            **figures, "engine": dict(engine), "by": by, "machine": dict(machine),
        }  # fmt: skip
        with JsonLog(out / RUNS) as log:
            log.read()  # mends what a kill may have torn
            log.append([line])
