"""A worker whose models are played on a cluster: what its steps run there is quick, and all else is as it is.

    python played.py URL KEY FOLDER ASKED EXECUTOR

Every answer is the number in the model's configuration, and marks follow from the answers. ASKED is a file that every
question goes into when it is asked.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from edgelm.files import JsonLog
from edgelm.report import Report
from edgelm.server.worker import loop
from edgelm.server.worker.executors.find import find_executor

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).parents[1] / "worker" / "scripted.py")
scripted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scripted)

PROGRAM = """
import json, sys, time, zlib
checkpoint, requests, log, asked = sys.argv[1:]
number = json.load(open(checkpoint + "/config.json"))["number"]
for row in open(requests):
    key = json.loads(row.partition(" ")[2])["key"]
    if asked:
        with open(asked, "a") as file:
            file.write(f"{number}/{key}\\n")
    row = {"finish": "stop", "key": key, "prompt_tokens": 1, "text": str(number), "tokens": 1}
    body = json.dumps(row, separators=(",", ":"), sort_keys=True)
    with open(log, "a") as file:
        file.write(f"{zlib.crc32(body.encode()):08x} {body}\\n")
    time.sleep(0.05)
"""


class Box:
    """A box that is none, in which results count."""

    def __init__(self):
        self.facts, self.holds = {"box": "played", "skipped": {}}, True

    def words(self, words, readable=(), writes=None):
        return tuple(words)

    def env(self, more=None):
        return dict(more or {})

    def prepare(self, writes):
        writes.mkdir(parents=True, exist_ok=True)


class Played:
    """Plays a worker's steps: those of models as programs where an executor runs them, its own at once."""

    def __init__(self, executor, asked):
        self.executor, self.asked = executor, asked
        self.capabilities, self.poll, self.cancel, self.logs = (
            executor.capabilities, executor.poll, executor.cancel, executor.logs)  # fmt: skip

    def start(self, step):
        part, play = step.name.rpartition("/")[2], scripted.Scripted(self.asked)
        play.step = step
        words = ("true",)
        if part in ("tasks", "agreement"):
            files = step.words[-6:-3]
            words = (sys.executable, "-I", "-S", "-c", PROGRAM, *files, str(self.asked) if part == "tasks" else "")
        elif part == "throughput":
            play._measured()
        elif part == "compliance":
            play._tested()
        elif part == "render":
            play._rendered()
        elif part == "marks":
            play._marked()
            _mark(Path(json.loads(step.words[-1])["out"]))
        return self.executor.start(replace(step, words=words))


def _mark(out):
    """Scores that follow from what was answered."""
    numbers = [int(row["text"]) for row in JsonLog(out / "log" / "answers.jsonl").read()]
    report = Report.load(out)
    score = Fraction(sum(numbers), len(numbers)) + 50
    tasks = {name: task.model_copy(update={"score": score}) for name, task in report.tasks.items()}
    report.model_copy(update={"tasks": tasks}).save(out)


def work(url, key, folder, asked, executor, jobs):
    benches = [replace(scripted.bench(url, key, folder, Played(executor, Path(asked))), box=Box()) for _ in range(jobs)]
    said = []
    loop.run_several(benches, once=True, say=said.append, idle=0.05)
    return said


if __name__ == "__main__":
    url, key, folder, asked, spec = sys.argv[1:]
    work(url, key, folder, asked, find_executor(spec), jobs=1)
