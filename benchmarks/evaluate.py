"""Speed of evaluation, side by side: our engines and the peers that are installed, in turn, on one workload.

    python benchmarks/evaluate.py [--rounds 2] [--lm-eval PYTHON] [--opencompass PYTHON] [--vllm PYTHON] [--json FILE]

Each way answers the same questions (see workload.py) on one thread in FP32, in a process of its own, loading left out;
all ways run once in each round, so that what else the machine does falls on all of them. A peer is run by the Python of
an environment in which it is installed; the others are named as absent. Reported are medians and ranges of CPU seconds,
ratios to the first way, and how many answers equal the first way's.
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
JOBS = {"generate": "Answers", "weigh": "Log-likelihood of choices"}


@dataclass
class Way:
    """A way to do a job: which script, run by which Python, with what setting."""

    name: str
    python: str
    script: str
    setting: str
    results: list[dict[str, Any]] = field(default_factory=list)

    def run(self, folder: Path, job: str) -> None:
        """Do the job once in a process of its own."""
        with tempfile.NamedTemporaryFile(suffix=".json") as result:
            command = [self.python, str(HERE / "ways" / self.script), str(folder), job, self.setting, result.name]
            subprocess.run(command, check=True, env=_environment(), stdout=sys.stderr)
            self.results.append(json.loads(Path(result.name).read_text()))

    @property
    def cpu(self) -> float:
        """Median CPU seconds."""
        return statistics.median(each["cpu"] for each in self.results)


def _environment() -> dict[str, str]:
    """One thread, and nothing from the network."""
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "0"}
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    return os.environ | single | offline | {"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}


def ways(job: str, options: argparse.Namespace) -> list[Way]:
    """The ways that can be tried; the first is what the others are held against."""
    found = [Way("transformers, static batches of 8 (hf)", sys.executable, "ours.py", "hf:batch=8"),
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
    tried = ways(job, options)
    for number in range(options.rounds):
        for way in tried:
            way.run(folder, job)
            print(f"round {number + 1}: {way.name}: {way.results[-1]['cpu']:.1f} CPU s", file=sys.stderr)
    first = tried[0]
    return [
        {"job": job, "way": way.name, "cpu": way.cpu, "range": [min(cpus), max(cpus)], "faster": first.cpu / way.cpu,
         "wall": statistics.median(each["wall"] for each in way.results), "equal": _equal(job, first, way),
         "of": len(first.results[0]["answers"]), "tokens": way.results[0]["tokens"]}
        for way in tried for cpus in [[each["cpu"] for each in way.results]]
    ]  # fmt: skip


def _equal(job: str, first: Way, way: Way) -> int:
    """Answers equal to the first way's; for choices, within a thousandth."""
    pairs = zip(first.results[0]["answers"], way.results[0]["answers"], strict=True)
    return sum(a == b if job == "generate" else abs(a - b) < 1e-3 for a, b in pairs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    for peer in ("lm-eval", "opencompass", "vllm"):
        parser.add_argument(f"--{peer}", metavar="PYTHON", help=f"Python of an environment with {peer}")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    absent = [peer for peer in ("lm_eval", "opencompass", "vllm") if not getattr(options, peer)]
    if absent:
        print(f"absent peers: {', '.join(absent)}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        workload.write(Path(folder), questions=options.questions, groups=options.groups)
        figures = [row for job in options.jobs for row in measure(job, Path(folder), options)]
    for job in options.jobs:
        print(f"\n{JOBS[job]}\n{'way':40} {'CPU s':>8} {'range':>15} {'faster':>8} {'wall s':>8} {'equal':>9}")
        for row in (row for row in figures if row["job"] == job):
            low, high = row["range"]
            print(f"{row['way']:40} {row['cpu']:8.1f} {f'{low:.1f}–{high:.1f}':>15} {row['faster']:7.1f}× "
                  f"{row['wall']:8.1f} {row['equal']:>4}/{row['of']}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
