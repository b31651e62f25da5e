"""A worker whose executor plays steps instead of running them: answers come one by one, and it can die at any of them.

    python scripted.py URL KEY FOLDER ASKED [DIE]

ASKED is a file that every question goes into when it is asked. DIE names where the worker is killed, as by `kill -9`:
`fetch`, a step (`base/throughput`), an answer of one (`base/tasks:2`), or around the call that hands in what came of a
job (`before check`, `after evaluate`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

import httpx

from edgelm.files import JsonLog
from edgelm.report import Report, Speed, TaskScore, Workload, answers_log
from edgelm.server.worker import loop, package
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import LOG, OUT, Ended
from edgelm.server.worker.model_box import ModelBox
from edgelm.server.worker.rendering import KEYS, REQUESTS

QUESTIONS = 4  # of each task
ANSWER = {"text": "t", "tokens": 1, "prompt_tokens": 1, "finish": "stop"}
BLANK = {"checkpoint": "c" * 64, "name": "m", "parameters": 1, "bytes": 2, "dtypes": {"F16": 1}}


class Scripted:
    """Plays steps. `ends` says how one ends, by its name, if not well; `findings` is what the check finds.

    `verdicts` are what the clock says of one measurement after the other; of further ones, that they are valid.
    `between` is what a model writes as its answers between the repeats.
    """

    def __init__(self, asked, die="", ends=None, findings=(), pause=lambda name: None, verdicts=(), between=b""):
        self.asked, self.die, self.ends, self.findings, self.pause = asked, die, ends or {}, list(findings), pause
        self.verdicts, self.between = list(verdicts), between
        self.step, self.cancelled, self.names = None, [], []

    def capabilities(self):
        return {"executor": "scripted"}

    def start(self, step):
        self.step = step
        self.names.append(step.name)
        (step.folder / OUT).write_text(json.dumps({"findings": self.findings}))
        (step.folder / LOG).write_text("one line\nlast words\n")
        self._perhaps_die(step.name)
        return step.name

    def poll(self, handle):
        self.pause(handle)
        if handle in self.ends:
            return self.ends[handle]
        play = {
            "check": lambda: True,
            "render": self._rendered,
            "tasks": lambda: self._answered(handle),
            "agreement": self._answered_again,
            "throughput": self._measured,
            "compliance": self._tested,
            "marks": self._marked,
        }
        return Ended("exit", 0) if play[handle.rpartition("/")[2]]() else None

    def cancel(self, handle):
        self.cancelled.append(handle)

    def logs(self, handle, most=0):
        return (self.step.folder / LOG).read_text()

    def _perhaps_die(self, at):
        if at == self.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def _orders(self):
        return json.loads(self.step.words[-1])

    def _rendered(self):
        orders = self._orders()
        keys = {task: [f"{task}-{n}" for n in range(QUESTIONS)] for task in orders["tasks"]}
        out = Path(orders["out"])
        rows = [{"key": key} for own in keys.values() for key in own]
        (out / REQUESTS).write_bytes(b"".join(map(JsonLog.line, rows)))
        (out / KEYS).write_text(json.dumps({"prompting": "base", "tasks": keys, "texts": ["a text"]}))
        return True

    def _files(self):
        requests, answers = map(Path, self.step.words[-5:-3])
        return [row["key"] for row in JsonLog(requests).read()], JsonLog(answers)

    def _answered(self, handle):
        keys, log = self._files()
        known = {row["key"] for row in log.read()}
        missing = [key for key in keys if key not in known]
        with self.asked.open("a") as file:
            file.write(missing[0] + "\n")
        with log:
            log.append([{**ANSWER, "key": missing[0]}])
        self._perhaps_die(f"{handle}:{len(keys) - len(missing) + 1}")
        return len(missing) <= 1

    def _answered_again(self):
        keys, log = self._files()
        with log:
            log.append([{**ANSWER, "key": key} for key in keys])
        return True

    def _measured(self):
        speed = Speed(workload=Workload(prompt_tokens=1, generated_tokens=1), device="d", repeats_ns=[10],
                      first_token_ns=[5], prefill=1.0, decode=1.0, spread=0.0)  # fmt: skip
        out = Path(self._orders()["out"])
        out.mkdir(parents=True)
        (self.step.writes / "answers.jsonl").write_bytes(self.between)
        Report(**BLANK, speed=speed, memory={"host-peak": 5}).save(out)
        return True

    def _tested(self):
        verdict = self.verdicts.pop(0) if self.verdicts else "valid"
        found = [{"code": "M-03", "tests": "one", "verdict": verdict, "what": "as it is", "evidence": {"an": "answer"}}]
        Path(self._orders()["out"]).write_text(json.dumps(found))
        return True

    def _marked(self):
        orders = self._orders()
        out, tasks = Path(orders["out"]), orders["tasks"]
        keys = [row["key"] for row in JsonLog(out / "log" / "answers.jsonl").read()]
        if sorted(keys) != sorted(f"{task}-{n}" for task in tasks for n in range(QUESTIONS)):
            return True
        for task in tasks:
            with answers_log(out, task) as log:
                log.append([{"key": key} for key in sorted(keys) if key.startswith(task)])
        score = TaskScore(protocol="p", score=Fraction(50), samples=4, of=4, prompting="base", engine={})
        Report(**BLANK, tasks=dict.fromkeys(tasks, score)).save(out)
        return True


def bench(url, key, folder, executor, patience=5.0):
    http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=5)
    return Bench(Calls(http, patience), executor, ModelBox("none", facts={"box": "none"}), Path(folder))


def die_around_the_end(die):
    """Have this process killed before or after it hands in what came of a job of some kind."""
    when, _, kind = die.partition(" ")
    hand_in = Calls.result

    def result(calls, job, **body):
        if when == "after":
            hand_in(calls, job, **body)
        if job.kind == kind:
            os.kill(os.getpid(), signal.SIGKILL)
        if when == "before":
            hand_in(calls, job, **body)

    Calls.result = result


if __name__ == "__main__":
    url, key, folder, asked, *die = sys.argv[1:]
    if die == ["fetch"]:
        package.sha256_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if die and die[0].startswith(("before ", "after ")):
        die_around_the_end(die[0])
    loop.run(bench(url, key, folder, Scripted(Path(asked), *die)), once=True, idle=0.05)
