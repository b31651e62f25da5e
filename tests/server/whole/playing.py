"""Executors that run no model: one whose figures follow from the model alone, one that remembers, one that repeats."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from edgelm.check.run import check
from edgelm.checkpoint import Checkpoint
from edgelm.files import JsonLog, sha256_file
from edgelm.report import FULL_MARK, Report, Speed, TaskScore, Workload, answers_log, mean_percent
from edgelm.rules import Rules
from edgelm.server.worker.executors.base import LOG, OUT, Ended, Executor, Step
from edgelm.server.worker.rendering import KEYS, REQUESTS

QUESTIONS = 12  # of each task
_WELL = Ended("exit", 0)


class Playing:
    """Plays each step at once; only the checker is real.

    Args:
        rules: in force.
        ends: by a model's digest, how the next measurements of it end instead.
    """

    def __init__(self, rules: Rules, ends: Mapping[str, list[Ended]]) -> None:
        self._rules, self._ends = rules, ends
        self._ended: dict[str, Ended] = {}

    def capabilities(self) -> dict[str, Any]:
        """It is none."""
        return {"executor": "playing"}

    def start(self, step: Step) -> str:
        """Do it all."""
        for name in (OUT, LOG):
            (step.folder / name).write_text("")
        part = step.name.rpartition("/")[2]
        plays = {"check": self._check, "render": self._render, "tasks": self._answer, "holdout": self._answer,
                 "agreement": self._answer, "throughput": self._measure, "compliance": _tested,
                 "marks": self._mark}  # fmt: skip
        self._ended[str(step.folder)] = plays.get(part, _nothing)(step) or _WELL
        return str(step.folder)

    def poll(self, handle: str) -> Ended | None:
        """How it has ended."""
        return self._ended[handle]

    def cancel(self, handle: str) -> None:
        """It is over."""

    def logs(self, handle: str, most: int = 0) -> str:
        """Nothing was said."""
        return ""

    def _check(self, step: Step) -> None:
        found = check(_after(step, "check"), self._rules, track=str(_after(step, "--track")), values=True)
        (step.folder / OUT).write_text(json.dumps({"findings": [each.as_json() for each in found]}))

    def _render(self, step: Step) -> None:
        orders = json.loads(step.words[-1])
        keys = {task: _keys(task) for task in self._tasks(orders)}
        rows = [{"key": key} for own in keys.values() for key in own]
        (Path(orders["out"]) / REQUESTS).write_bytes(b"".join(map(JsonLog.line, rows)))
        (Path(orders["out"]) / KEYS).write_text(json.dumps({"prompting": "base", "tasks": keys, "texts": []}))

    def _answer(self, step: Step) -> None:
        checkpoint, requests, answers = map(Path, step.words[-6:-3])
        digest = Checkpoint(checkpoint).digest
        with JsonLog(answers) as log:
            log.append({"key": row["key"], "text": str(_answer(digest, row["key"])), "tokens": 1,
                        "prompt_tokens": 1, "finish": "stop"} for row in JsonLog(requests).read())  # fmt: skip

    def _measure(self, step: Step) -> Ended | None:
        orders = json.loads(step.words[-1])
        checkpoint, out = Checkpoint(Path(orders["checkpoint"])), Path(orders["out"])
        if ends := self._ends.get(checkpoint.digest):
            return ends.pop(0)
        _measured(self._rules, checkpoint).save(out)
        return None

    def _mark(self, step: Step) -> None:
        orders = json.loads(step.words[-1])
        checkpoint, out = Checkpoint(Path(orders["checkpoint"])), Path(orders["out"])
        given = list(JsonLog(out / "log" / "answers.jsonl").read())
        scores = {}
        for task in self._tasks(orders):
            own = sorted((row for row in given if row["key"].rpartition("-")[0] == task), key=lambda row: row["key"])
            marks = [_mark(int(row["text"])) for row in own]
            with answers_log(out, task) as log:
                log.append({**row, "sample": row["key"], "mark": mark}
                           for row, mark in zip(own, marks, strict=True))  # fmt: skip
            scores[task] = _score("holdout" if "holdouts" in orders else self._rules.suite, task, marks)
        Report(**_about(checkpoint), tasks=scores).save(out)

    def _tasks(self, orders: Mapping[str, Any]) -> list[str]:
        return list(self._rules.holdouts if "holdouts" in orders else orders["tasks"])


class Remembering:
    """Another executor, all that whose steps wrote is kept.

    Args:
        runs: the executor.
        folder: that it is kept in.
    """

    def __init__(self, runs: Executor, folder: Path) -> None:
        self._runs, self._folder = runs, folder
        self._steps: dict[str, Step] = {}
        self.capabilities, self.cancel, self.logs = runs.capabilities, runs.cancel, runs.logs

    def start(self, step: Step) -> str:
        """Start it."""
        handle = self._runs.start(step)
        self._steps[handle] = step
        return handle

    def poll(self, handle: str) -> Ended | None:
        """How it has ended; then what it wrote is copied."""
        ended = self._runs.poll(handle)
        if ended == _WELL:
            for number, written in enumerate(_written(self._steps[handle])):
                shutil.copytree(written, self._folder / _name(self._steps[handle]) / str(number), dirs_exist_ok=True)
        return ended


class Repeating:
    """Writes what `Remembering` has kept of the same steps of the same packages.

    Args:
        folder: that it was kept in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def capabilities(self) -> dict[str, Any]:
        """It is none."""
        return {"executor": "repeating"}

    def start(self, step: Step) -> str:
        """Write it."""
        for number, written in enumerate(_written(step)):
            shutil.copytree(self._folder / _name(step) / str(number), written, dirs_exist_ok=True)
        return step.name

    def poll(self, handle: str) -> Ended | None:
        """It did well, as before."""
        return _WELL

    def cancel(self, handle: str) -> None:
        """It is over."""

    def logs(self, handle: str, most: int = 0) -> str:
        """Nothing was said."""
        return ""


def reached(rules: Rules, checkpoint: Checkpoint) -> Report:
    """What a model reaches by these rules when it is played."""
    scores = {task: _score(rules.suite, task, [_mark(_answer(checkpoint.digest, key)) for key in _keys(task)])
              for task in rules.tasks}  # fmt: skip
    return _measured(rules, checkpoint).model_copy(update={"tasks": scores})


def _measured(rules: Rules, checkpoint: Checkpoint) -> Report:
    seconds = 10**9 + _drawn(checkpoint.digest, "speed", 10**9)
    speed = Speed(
        workload=Workload(prompt_tokens=rules.prompt_tokens, generated_tokens=rules.generated_tokens,
                          repeats=rules.repeats),
        device="cpu", repeats_ns=[seconds + number for number in range(rules.repeats)], first_token_ns=[5],
        prefill=1.0, decode=1.0, spread=0.0,
    )  # fmt: skip
    peak = (100 << 20) + checkpoint.bytes
    return Report(**_about(checkpoint), speed=speed, memory={rules.memory_meter: peak})


def _score(suite: str, task: str, marks: Sequence[int]) -> TaskScore:
    return TaskScore(protocol=f"{suite}/{task}-0", score=mean_percent(marks), samples=len(marks), of=QUESTIONS,
                     prompting="base", engine={})  # fmt: skip


def _keys(task: str) -> list[str]:
    return [f"{task}-{number}" for number in range(QUESTIONS)]


def _answer(digest: str, key: str) -> int:
    return _drawn(digest, key, 1000)


def _mark(answer: int) -> int:
    return FULL_MARK * (answer % 2)


def _tested(step: Step) -> None:
    """Nothing speaks against a measurement that was played."""
    Path(json.loads(step.words[-1])["out"]).write_text("[]")


def _nothing(_: Step) -> None:
    """What a trial of the box has to do where there is none."""


def _after(step: Step, word: str) -> Any:
    """What follows on a word of a step's command, as a path unless it follows on an option for a name."""
    found = step.words[step.words.index(word) + 1]
    return found if word == "--track" else Path(found)


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"checkpoint": checkpoint.digest, "name": "tiny", "parameters": checkpoint.parameters,
            "bytes": checkpoint.bytes, "dtypes": checkpoint.dtypes}  # fmt: skip


def _drawn(digest: str, what: str, below: int) -> int:
    return int(sha256(f"{digest}/{what}".encode()).hexdigest(), 16) % below


def _written(step: Step) -> Iterator[Path]:
    """The folders that a step writes to: what it says, what its box lets it write, what it is ordered to."""
    yield step.folder
    if step.writes is not None:
        yield step.writes
    elif "edgelm.evaluate.apart" in step.words:
        yield Path(json.loads(step.words[-1])["out"])
    elif "edgelm.verify.compliance" in step.words:
        yield Path(json.loads(step.words[-1])["out"]).parent


def _name(step: Step) -> str:
    """The same for the same step of the same package, on whatever server."""
    package = step.folder.parents[1] / "package" / "edgelm.json"
    return f"{sha256_file(package)}/{step.name}"
