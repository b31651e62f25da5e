"""A small competition for the tests of scoring: rules with few tasks, and entries written as score vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from edgelm.checkpoint import digest_of
from edgelm.files import sha256_file, tree_files
from edgelm.report import FULL_MARK, Report, Speed, TaskScore, Workload, answers_log, mean_percent
from edgelm.rules.base import Rules, Track
from edgelm.rules.miniature import Miniature
from edgelm.score.entries import Entry, SlotModel

Number = int | Fraction | None
Vectors = Mapping[str, Sequence[Sequence[Number]]]
TRACK = Track("from-scratch", "from-scratch", ("model",))
RULES = Rules(name="three", tracks=(TRACK,), tasks=("first", "second"))
START = datetime(2024, 10, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def rules() -> Rules:
    """Two tasks of weight 1, then throughput of weight 2; one model a submission."""
    return RULES


@pytest.fixture(scope="session")
def track() -> Track:
    """A track with one slot."""
    return TRACK


@pytest.fixture(scope="session")
def entries() -> Callable[..., list[Entry]]:
    """`entries({"A": [(10, 10)], …})`: teams with their submissions' scores, `A1` received before `A2` before `B1`.

    A vector gives the tasks of the rules in order, then throughput; what it leaves out is missing.
    """

    def make(vectors: Vectors, rules: Rules = RULES, *, memory: int = 1) -> list[Entry]:
        made: list[Entry] = []
        for team, submissions in vectors.items():
            for number, vector in enumerate(submissions, start=1):
                scores = dict(zip(rules.weights, vector, strict=False))
                speed = scores.pop("throughput", None)
                model = SlotModel(name="model", scores=scores, throughput=speed, peak_memory=memory)
                received = START + timedelta(seconds=len(made))
                made.append(Entry(submission=f"{team}{number}", team=team, received=received, models={"model": model}))
        return made

    return make


@pytest.fixture
def submitted(tmp_path: Path) -> Callable[..., Path]:
    """`submitted("team", {"gsm8k": [1, 0, 1]})`: a package of the miniature rules, with the answers' marks (1: right).

    Weights are left out: scoring reads the manifest, the report and the answers.
    """
    rules = Miniature()

    def make(team: str, marks: Mapping[str, Sequence[int]], *, seconds: int = 1, **fields: object) -> Path:
        folder = tmp_path / team
        place = folder / "models/base/report"
        workload = Workload(prompt_tokens=rules.prompt_tokens, generated_tokens=rules.generated_tokens)
        times = [seconds * 10**9] * rules.repeats
        speed = Speed(workload=workload, device="cpu", repeats_ns=times, first_token_ns=times, prefill=1, decode=1,
                      spread=0)  # fmt: skip
        tasks = {}
        for task, own in marks.items():
            answers_log(place, task).append([
                {"key": f"{n}", "sample": f"{n}", "text": "", "mark": FULL_MARK * mark, "tokens": 1,
                 "prompt_tokens": 1, "finish": "stop"} for n, mark in enumerate(own)
            ])  # fmt: skip
            score = mean_percent([FULL_MARK * mark for mark in own])
            tasks[task] = TaskScore(protocol=f"miniature-1/{task}-0", prompting="base", engine={}, score=score,
                                    samples=len(own), of=len(own))  # fmt: skip
        checkpoint = {"config.json": "0" * 64}
        whole = Report(checkpoint=digest_of(checkpoint), name=team, parameters=7, bytes=14, dtypes={"F16": 14},
                       tasks=tasks, speed=speed, memory={rules.memory_meter: 1000})  # fmt: skip
        whole.model_copy(update=fields).save(place)
        written = {name: sha256_file(folder / name) for name in tree_files(folder)}
        files = {**written, **{f"models/base/checkpoint/{name}": sha256 for name, sha256 in checkpoint.items()}}
        listed = [{"path": path, "size": 1, "sha256": sha256} for path, sha256 in files.items()]
        manifest = {"format": 1, "team": team, "track": "compression", "rules": rules.digest, "title": f"{team}'s",
                    "method": "m", "contact": "c", "models": {"base": "models/base"}, "files": listed,
                    "claims": "results.csv", "made_by": "test"}  # fmt: skip
        (folder / "edgelm.json").write_text(json.dumps(manifest))
        return folder

    return make
