"""Speed of evaluation, side by side: our engines and the peers that are installed, in turn, on one workload.

    python benchmarks/evaluate.py [--rounds 2] [--lm-eval PYTHON] [--opencompass PYTHON] [--vllm PYTHON] [--json FILE]

Each way answers the same questions (see workload.py) on one thread in FP32, in a process of its own, loading left out;
all ways run once in each round, so that what else the machine does falls on all of them. A peer is run by the Python of
an environment in which it is installed; the others are named as absent. Reported are medians and ranges of CPU seconds,
ratios to the first way, and how many answers equal the first way's. With --device cuda the model is in FP16, and the
seconds are those of the clock:

    python benchmarks/evaluate.py --device cuda --shape 8b --questions 768 --plain 96 --jobs generate --rounds 1

Static batches need minutes for what the others do in seconds, so --plain gives them the first rows alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import workload

HERE = Path(__file__).parent
CLOCKS = {"cpu": "cpu", "cuda": "wall"}  # what is measured on a device
JOBS = {"generate": "Answers", "weigh": "Log-likelihood of choices"}


@dataclass
class Way:
    """A way to do a job: which script, run by which Python, with what setting."""

    name: str
    python: str
    script: str
    setting: str
    first: int | None = None  # does this many rows; all if not given
    results: list[dict[str, Any]] = field(default_factory=list)

    def run(self, folder: Path, job: str, device: str) -> None:
        """Do the job once in a process of its own."""
        with tempfile.NamedTemporaryFile(suffix=".json") as result:
            command = [self.python, str(HERE / "ways" / self.script), str(folder), job, self.setting, result.name]
            command += [str(self.first)] if self.first else []
            subprocess.run(command, check=True, env=_environment(device), stdout=sys.stderr)
            self.results.append(json.loads(Path(result.name).read_text()))

    def seconds(self, clock: str) -> list[float]:
        """Seconds of each run by one of its clocks, `cpu` or `wall`."""
        return [each[clock] for each in self.results]

    @property
    def rows(self) -> int:
        """Rows done in each run."""
        return len(self.results[0]["answers"])


def _environment(device: str) -> dict[str, str]:
    """One thread, and nothing from the network; no GPU if the CPU is measured."""
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "0"}
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    return os.environ | single | offline | hidden | {"TOKENIZERS_PARALLELISM": "false"}


def ways(job: str, options: argparse.Namespace) -> list[Way]:
    """The ways that can be tried; the first is what the others are held against."""
    found = [Way("transformers, static batches of 8 (hf)", sys.executable, "ours.py", "hf:batch=8", options.plain),
             Way("edgelm local", sys.executable, "ours.py", "local")]  # fmt: skip
    if options.lm_eval:
        found.append(Way("lm-eval hf, batch 8", options.lm_eval, "lm_eval_hf.py", "8"))
    if options.opencompass and job == "generate":
        found.append(Way("OpenCompass 0.3.1, batch 8", options.opencompass, "opencompass_model.py", "8"))
    if options.vllm:
        found.append(Way("vLLM on the CPU, 64 rows", options.vllm, "vllm_engine.py", "64"))
    return found


def measure(job: str, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All ways in turn, round after round; one row of figures each."""
    tried, clock = ways(job, options), CLOCKS[options.device]
    for number in range(options.rounds):
        for way in list(tried):
            try:
                way.run(folder, job, options.device)
            except subprocess.CalledProcessError as error:
                print(f"left out, it failed: {way.name}: {error}", file=sys.stderr)
                tried.remove(way)
            else:
                print(f"round {number + 1}: {way.name}: {way.results[-1][clock]:.1f} s", file=sys.stderr)
    first = tried[0]
    return [
        {"job": job, "way": way.name, "seconds": statistics.median(seconds), "range": [min(seconds), max(seconds)],
         "faster": statistics.median(first.seconds(clock)) / first.rows / (statistics.median(seconds) / way.rows),
         "rows": way.rows, "equal": _equal(job, first, way), "of": first.rows, "tokens": way.results[0]["tokens"]}
        for way in tried for seconds in [way.seconds(clock)]
    ]  # fmt: skip


def _equal(job: str, first: Way, way: Way) -> int:
    """Answers equal to the first way's; for choices, within a thousandth."""
    pairs = zip(first.results[0]["answers"], way.results[0]["answers"], strict=False)
    return sum(a == b if job == "generate" else abs(a - b) < 1e-3 for a, b in pairs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--plain", type=int, help="static batches do this many rows alone; times are held by the row")
    parser.add_argument("--shape", choices=list(workload.SHAPES), default="30m")
    parser.add_argument("--device", choices=list(CLOCKS), default="cpu")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    for peer in ("lm-eval", "opencompass", "vllm"):
        parser.add_argument(f"--{peer}", metavar="PYTHON", help=f"Python of an environment with {peer}")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    absent = [peer for peer in ("lm_eval", "opencompass", "vllm") if not getattr(options, peer)]
    if absent:
        print(f"absent peers: {', '.join(absent)}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        workload.write(Path(folder), questions=options.questions, groups=options.groups, shape=options.shape)
        figures = [row for job in options.jobs for row in measure(job, Path(folder), options)]
    for job in options.jobs:
        unit = f"{CLOCKS[options.device]} s"
        print(f"\n{JOBS[job]}\n{'way':40} {unit:>8} {'range':>15} {'rows':>5} {'faster':>8} {'equal':>9}")
        for row in (row for row in figures if row["job"] == job):
            low, high = row["range"]
            print(f"{row['way']:40} {row['seconds']:8.1f} {f'{low:.1f}–{high:.1f}':>15} {row['rows']:5} "
                  f"{row['faster']:7.1f}× {row['equal']:>4}/{row['of']}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
