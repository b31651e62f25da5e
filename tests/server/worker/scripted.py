"""A worker whose executor plays steps instead of running them: answers come one by one, and it can die at any of them.

    python scripted.py URL KEY FOLDER ASKED [DIE]

ASKED is a file that every question goes into when it is asked. DIE names where the worker is killed, as by `kill -9`:
`fetch`, a step (`base/throughput`), or an answer of one (`base/gsm8k:2`).
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
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import LOG, OUT, Ended
from edgelm.server.worker.model_box import ModelBox
from edgelm.server.worker.work import LOG as ANSWERS
from edgelm.server.worker.work import Bench

QUESTIONS = 4  # of each task
BLANK = {"checkpoint": "c" * 64, "name": "m", "parameters": 1, "bytes": 2, "dtypes": {"F16": 1}}


class Scripted:
    """Plays steps. `ends` says how one ends, by its name, if not well; `findings` is what the check finds."""

    def __init__(self, asked, die="", ends=None, findings=(), pause=lambda name: None):
        self.asked, self.die, self.ends, self.findings, self.pause = asked, die, ends or {}, list(findings), pause
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
        task = handle.partition("/")[2]
        if handle != "check" and not {"throughput": self._measured, "marks": self._marked}.get(
            task, lambda: self._answered(handle, task)
        )():  # fmt: skip
            return None
        return Ended("exit", 0)

    def cancel(self, handle):
        self.cancelled.append(handle)

    def logs(self, handle, most=0):
        return (self.step.folder / LOG).read_text()

    def _perhaps_die(self, at):
        if at == self.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def _answered(self, handle, task):
        log = JsonLog(self.step.writes / ANSWERS)
        known = {row["key"] for row in log.read()}
        missing = [key for key in (f"{task}-{n}" for n in range(QUESTIONS)) if key not in known]
        if missing:
            with self.asked.open("a") as file:
                file.write(missing[0] + "\n")
            with log:
                log.append([{"key": missing[0], "text": "t"}])
            self._perhaps_die(f"{handle}:{QUESTIONS - len(missing) + 1}")
        return len(missing) <= 1

    def _measured(self):
        speed = Speed(workload=Workload(prompt_tokens=1, generated_tokens=1), device="d", repeats_ns=[10],
                      first_token_ns=[5], prefill=1.0, decode=1.0, spread=0.0)  # fmt: skip
        (self.step.writes / "report").mkdir(parents=True)
        Report(**BLANK, speed=speed, memory={"host-peak": 5}).save(self.step.writes / "report")
        return True

    def _marked(self):
        words = list(self.step.words)
        out = Path(words[words.index("-o") + 1])
        keys = [row["key"] for row in JsonLog(out / "log" / "answers.jsonl").read()]
        tasks = [words[place + 1] for place, word in enumerate(words) if word == "-t"]
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


if __name__ == "__main__":
    url, key, folder, asked, *die = sys.argv[1:]
    if die == ["fetch"]:
        package.sha256_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    loop.run(bench(url, key, folder, Scripted(Path(asked), *die)), once=True, idle=0.05)
