"""What the harness itself costs: an engine that answers at once with a made-up answer, over every row of a task.

    python benchmarks/overhead.py CHECKPOINT --data DATA [--task bbh] [--words 60]

Asked: prompts made, keys, answers kept on the disk, marks, report. Scored: the same answers marked anew (`rescore`).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.engines.base import Reply, Request
from edgelm.evaluate.rescore import rescore
from edgelm.evaluate.run import evaluate
from edgelm.plugins import parse

WORDS = ("the", "answer", "is", "(A)", "(B)", "yes", "no", "42", "3.5", "because", "it", "was", ".", ",", "**Yes**")


@dataclass(frozen=True)
class Instant:
    """Answers of so many words, drawn by the row's place."""

    words: int

    @property
    def identity(self) -> dict[str, Any]:
        return {"engine": "instant", "words": self.words}

    @contextlib.contextmanager
    def open(self, *_: object) -> Iterator[Instant]:
        yield self

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Reply]]:
        for start in range(0, len(requests), 8):
            yield [self._reply(request) for request in requests[start : start + 8]]

    def _reply(self, request: Request) -> Reply:
        text = " ".join(random.Random(request.index).choices(WORDS, k=self.words))
        return Reply(request.key, text, self.words, 100, "stop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--task", nargs="+", default=["bbh", "truthfulqa"])
    parser.add_argument("--words", type=int, default=60)
    options = parser.parse_args()
    checkpoint, data = Checkpoint(options.checkpoint), DataFolder(options.data)
    print(f"{'task':24} {'rows':>6} {'asked, s':>9} {'ms a row':>9} {'scored, s':>10}")
    for spec in options.task:
        tasks = [(parse("tasks", spec), data)]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report"
            start = time.perf_counter()
            report = evaluate(checkpoint, tasks, Instant(options.words), out, prompting="base")
            asked = time.perf_counter() - start
            start = time.perf_counter()
            rescore(out, tasks)
            scored = time.perf_counter() - start
        rows = next(iter(report.tasks.values())).samples
        print(f"{spec:24} {rows:6} {asked:9.2f} {asked / rows * 1000:9.3f} {scored:10.2f}")


if __name__ == "__main__":
    main()
