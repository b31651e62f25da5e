"""The meter against truth: engines that take known times, measured by it, and by the clock of the 2024 starting kit.

    python benchmarks/meter.py [--repeats 5] [--scale 1.0]

A runner that busy-waits known times speaks the runner's protocol in a process of its own; a model that busy-waits is
run by the clock that times checkpoints, on a GPU by a kernel that spins for known cycles. Both are measured as any
model is. The truth is what each engine has recorded of its own passes, on a GPU by the GPU's events: on a busy machine
a wait takes longer than was asked for, and that is no error of the meter. On a GPU the kit's script is followed as
well: it reads its clock before the device has finished. 2 percent is the largest error that is allowed; what there is
for checkpoints is the choice of the next token, 0.02 to 0.2 ms, which the engine's record of its passes has not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from types import SimpleNamespace
from typing import Any

import torch

from edgelm.bundle import Bundle
from edgelm.devices import clock
from edgelm.devices.bundled import measured
from edgelm.devices.timing import KIT_TOKENS, speed_of
from edgelm.native.runner import Runner
from edgelm.report import Speed, Workload

ALLOWED = 2.0  # percent
FIRST, GAP = 0.4, 0.025  # seconds until the first token, and between tokens
WORKLOAD = Workload(prompt_tokens=1500, generated_tokens=100)
Row = tuple[str, float, float]  # name, truth, measured
Passes = list[list[float]]  # seconds of each forward pass of each repeat


def wait(seconds: float) -> float:
    """Wait so long, busily, as a sleeping process wakes late; the seconds that it took."""
    start = time.monotonic_ns()
    end = start + round(seconds * 1e9)
    while time.monotonic_ns() < end:
        pass
    return (time.monotonic_ns() - start) / 1e9


def serve(first: float, gap: float, record: str) -> None:
    """Speak the runner's protocol on stdin and stdout, with these times; what they really were goes into a file."""

    def say(value: dict[str, Any]) -> None:
        print(json.dumps(value), flush=True)

    memory = {"VmHWM": 1, "VmRSS": 1}
    say({"ready": {"runner": "1", "llama.cpp": "none", "arch": "llama", "parameters": 1, "vocab": 256, "context": 4096,
                   "trained": 4096, "bos": None, "eos": [], "threads": 1, "load_ns": 1, "memory": memory}})  # fmt: skip
    for line in sys.stdin:
        start, question = time.perf_counter_ns(), json.loads(line)
        if question["op"] == "tokenize":
            say({"ids": list(question["text"].encode())})
        elif question["op"] == "rates":
            say({"error": {"kind": "memory", "what": "there are none", "mend": ""}})
        elif question["op"] == "memory":
            say({"memory": memory})
        else:
            arrived, took = [], []
            for number in range(question["max_tokens"]):
                took.append(wait(gap if number else first))
                arrived.append(time.perf_counter_ns() - start)
            with Path(record).open("a") as file:
                file.write(json.dumps(took) + "\n")
            say({"done": {"ids": [1] * len(arrived), "text": "", "prompt_tokens": len(question["ids"]),
                          "arrived_ns": arrived, "finish": "length", "memory": memory}})  # fmt: skip


def through_a_runner(workload: Workload, first: float, gap: float) -> tuple[Speed, Passes, Passes]:
    """What the meter makes of a runner that takes these times, and its record: of the workload, and of the kit's."""
    with tempfile.TemporaryDirectory() as name:
        bundle, record = small_bundle(Path(name)), Path(name) / "record"
        pipe = subprocess.PIPE
        words = [sys.executable, __file__, "--serve", str(first), str(gap), str(record)]
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process, Runner(process) as runner:
            speed = measured(runner, bundle, workload, "known", lambda *_: None, conditions={}, machine={},
                             memory=lambda: {}).speed  # fmt: skip
        took = [json.loads(line) for line in record.read_text().splitlines()][1:]
    return speed, took[: workload.repeats], took[workload.repeats :]


def small_bundle(folder: Path) -> Bundle:
    """A bundle whose file holds nothing but the start of one."""
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
              "num_attention_heads": 1, "vocab_size": 256, "max_position_embeddings": 4096}  # fmt: skip
    (folder / "model.gguf").write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(24))
    files = {"model.gguf": {"sha256": "0" * 64, "size": 32}}
    listing = {"format": 1, "target": "known", "name": "known", "checkpoint": "0" * 64, "config": config,
               "files": files, "tools": {}, "made_by": "benchmarks/meter.py"}  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(listing))
    return Bundle(folder)


class Known:
    """A model that takes known times for a prompt and for a further token: on a GPU in a kernel, behind the caller."""

    def __init__(self, device: torch.device, first: float, gap: float) -> None:
        self.device, self.first, self.gap = device, first, gap
        self.cycles = cycles_a_second() if device.type == "cuda" else 0.0
        self._record: list[Any] = []  # seconds, or a pair of events
        self._output = SimpleNamespace(logits=torch.zeros(1, 1, 8, device=device), past_key_values=1)

    def took(self) -> list[float]:
        """The seconds of each pass since the last call."""
        passes = [each if isinstance(each, float) else each[0].elapsed_time(each[1]) / 1e3 for each in self._record]
        self._record = []
        return passes

    def forward(self, input_ids: torch.Tensor, past_key_values: object = None, use_cache: bool = True) -> Any:
        """Wait, and answer with the same token."""
        seconds = self.first if input_ids.shape[1] > 1 else self.gap
        if self.cycles:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            torch.cuda._sleep(round(seconds * self.cycles))
            end.record()
            self._record.append((start, end))
        else:
            self._record.append(wait(seconds))
        return self._output

    __call__ = forward


def cycles_a_second() -> float:
    """How many cycles of the GPU's spinning kernel a second holds, by the GPU's own events."""
    cycles = 2 * 10**8
    torch.cuda._sleep(cycles)
    torch.cuda.synchronize()
    times = []
    for _ in range(5):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        torch.cuda._sleep(cycles)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return cycles / sorted(times)[2]


def through_the_clock(workload: Workload, model: Known) -> tuple[Speed, Passes]:
    """What the clock for checkpoints makes of a model that takes known times, and the model's record."""
    prompt = list(range(workload.prompt_tokens))
    clock.run(model, prompt, workload.model_copy(update={"generated_tokens": 2}))
    repeats, passes = [], []
    for _ in range(workload.repeats):
        model.took()
        repeats.append(clock.run(model, prompt, workload))
        passes.append(model.took())
    return speed_of(workload, str(model.device), repeats, 8), passes


def as_the_kit_does(model: Known, repeats: int) -> float:
    """Inferences a second as the starting kit's script reckons them: its first pass is in the mean, its clock early."""
    input_BT = torch.zeros(1, KIT_TOKENS, dtype=torch.long, device=model.device)
    seconds = 0.0
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.time()
        model(input_BT)
        seconds += time.time() - start
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    return repeats / seconds


def figures(name: str, speed: Speed, passes: Passes) -> Iterator[Row]:
    """Each figure of a measurement beside what the engine's own record makes it."""
    work, extra = speed.workload, speed.model_extra or {}
    tokens, further = work.prompt_tokens + work.generated_tokens, work.generated_tokens - 1
    yield f"{name}: throughput, tokens/s", median(tokens / sum(took) for took in passes), float(speed.throughput)
    yield f"{name}: prefill, tokens/s", median(work.prompt_tokens / took[0] for took in passes), speed.prefill
    yield f"{name}: decode, tokens/s", median(further / sum(took[1:]) for took in passes), speed.decode
    between = 1e3 * median(seconds for took in passes for seconds in took[1:])
    yield f"{name}: between tokens, ms", between, extra["inter_token_median_ns"] / 1e6


def show(rows: Iterator[Row]) -> float:
    """Print rows; the largest error in percent."""
    worst = 0.0
    for name, truth, found in rows:
        error = 100 * (found / truth - 1)
        worst = max(worst, abs(error))
        print(f"{name:48} {truth:12.4f} {found:12.4f} {error:+8.2f} %", flush=True)
    return worst


def main() -> int:
    """Measure, print, and say whether all is within what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of all times")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(float(options.serve[0]), float(options.serve[1]), options.serve[2])
        return 0
    workload = WORKLOAD.model_copy(update={"repeats": options.repeats})
    first, gap = FIRST * options.scale, GAP * options.scale
    print(f"{'figure':48} {'truth':>12} {'measured':>12} {'error':>8}")
    speed, passes, kit = through_a_runner(workload, first, gap)
    worst = show(figures("runner", speed, passes))
    found = (speed.model_extra or {})["kit-2024"]["inferences_per_second"]
    worst = max(worst, show(iter([("runner: kit-2024, inferences/s", 1 / mean(took[0] for took in kit), found)])))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Known(device, first, gap)
    worst = max(worst, show(figures(str(device), *through_the_clock(workload, model))))
    model.took()
    both = clock.kit_2024(model, [0] * KIT_TOKENS, options.repeats)
    truth = 1 / mean(model.took()[1:])
    worst = max(worst, show(iter([(f"{device}: kit-2024, inferences/s", truth, both["inferences_per_second"])])))
    if device.type == "cuda":
        print("\nThe same passes by the kit's own script, which does not wait for the device:")
        show(iter([("kit's clock, as in its script", truth, as_the_kit_does(model, options.repeats)),
                   ("kit's clock, warmed up", truth, both["unsynchronised"])]))  # fmt: skip
    print(f"\nlargest error of the meter: {worst:.2f} %, allowed: {ALLOWED:.0f} %")
    return int(worst > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
