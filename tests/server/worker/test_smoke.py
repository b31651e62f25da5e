"""A smoke run that begins where a worker was killed at it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from edgelm.report import Report, TaskScore
from edgelm.rules.miniature import Miniature
from edgelm.server.worker import smoke
from edgelm.server.worker.executors.base import Ended
from edgelm.server.worker.steps import Done

TASKS = Miniature().tasks


class Steps:
    """Plays the step of the box; the first one is killed in the midst of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results, self.blobs = folder, [], []
        calls = SimpleNamespace(progress=lambda *_, **__: None, put=self._put,
                                result=lambda job, **body: self.results.append(body))  # fmt: skip
        self.job = SimpleNamespace(submission="s", manifest="m")
        self.bench = SimpleNamespace(calls=calls, box=SimpleNamespace(facts={}))
        self.killed = False

    def _put(self, _: object, data: bytes) -> str:
        self.blobs.append(data)
        return str(len(self.blobs))

    def stage(self, name: str) -> None:
        pass

    def from_box(self, _: str, read: Any) -> Any:
        return read()

    def boxed(self, name: str, words: Any, readable: Any, writes: Path) -> Done:
        assert readable[1].is_dir() and not (writes / "report").exists()
        (writes / "report" / "answers").mkdir(parents=True)
        if not self.killed:
            self.killed = True
            raise KeyboardInterrupt
        score = TaskScore(protocol="p", score=Fraction(50), samples=4, of=4, prompting="base", engine={})
        Report(checkpoint="c" * 64, name="m", parameters=1, bytes=2, dtypes={"F16": 1},
               tasks=dict.fromkeys(TASKS, score)).save(writes / "report")  # fmt: skip
        for task in TASKS:
            (writes / "report" / "answers" / f"{task}.jsonl").write_text(task)
        return Done(SimpleNamespace(name=name), Ended("exit", 0), "said\n")  # type: ignore[arg-type]


def test_it_begins_anew_where_a_worker_was_killed(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "edgelm.json").write_text(json.dumps({
        "format": 1, "team": "T", "track": "compression", "rules": "r", "title": "T", "method": "m", "contact": "c",
        "models": {"base": "models/base"}, "claims": "results.csv", "made_by": "edgelm", "files": [],
    }))  # fmt: skip
    steps: Any = Steps(tmp_path / "job")
    with pytest.raises(KeyboardInterrupt):
        smoke.run(steps, package, lambda _: "local")
    smoke.run(steps, package, lambda _: "local")
    assert len(steps.results) == 1
    assert json.loads(steps.blobs[-1])["models"]["base"]["answers"].keys() == set(TASKS)
